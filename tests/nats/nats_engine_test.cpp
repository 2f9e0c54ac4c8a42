// NATS as the engine keeps the contract, on one server and on three.
#define BOOST_TEST_MODULE nats_engine
#include "tests/fixtures/engine_contract.hpp"
#include "tests/fixtures/nats_cluster.hpp"

#include <chrono>
#include <functional>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace stek;
using namespace stek::fleet;

namespace {

const NatsParty whoever{NatsRole::root, "root", ""};

/// The contract's buckets are nobody's.
NatsAccess everything() {
    auto access = access_of(whoever);
    access.publish = {"$KV.>", "$JS.API.>"};
    access.subscribe.emplace_back("stek.changed.>");
    return access;
}

std::unique_ptr<Engine> connect_to(tests::NatsCluster& cluster) {
    return make_nats_engine(cluster.settings({cluster.member(whoever, everything())}));
}

template <unsigned Servers>
std::unique_ptr<Engine> connect() {
    static tests::NatsCluster cluster(Servers, {everything()});
    static const auto member = cluster.member(whoever, everything());
    return make_nats_engine(cluster.settings({member}));
}

const tests::EngineContract of_one_server("one_server", connect<1>);
/// Any copy answers, and one may be behind for a moment.
const tests::EngineContract of_three_servers("three_servers", connect<3>, std::chrono::seconds(2));

}  // namespace

BOOST_AUTO_TEST_CASE(an_engine_names_itself_for_people) {
    tests::NatsCluster cluster(1, {everything()});
    BOOST_TEST(connect_to(cluster)->name() == "NATS at " + cluster.servers.addresses().front());
}

namespace {

/// Two parties on one server, of whom one watches, and what the server has got of it.
struct Watched {
    tests::NatsCluster cluster{1, {everything()}};
    NatsMember member = cluster.member(whoever, everything());
    std::unique_ptr<Engine> theirs = connect_to_it(), ours = connect_to_it();
    std::unique_ptr<Watch> watch = ours->watch("bucket");

    std::unique_ptr<Engine> connect_to_it() const { return make_nats_engine(cluster.settings({member})); }
    /// All that was asked of the server so far, by anybody.
    std::uint64_t requests() const {
        return nlohmann::json::parse(cluster.servers.monitored(0, "/varz"))
            .at("in_msgs")
            .get<std::uint64_t>();
    }
    /// How many it takes.
    std::uint64_t taken_by(const std::function<void()>& act) const {
        const auto before = requests();
        act();
        return requests() - before;
    }
    [[nodiscard]] bool await_news() const { return tests::told(*watch) && watch->clear(); }
};

using tests::value_of;

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_was_read_is_not_asked_for_again_until_a_change_is_told, Watched) {
    theirs->put("bucket", "key", value_of(1, 100));
    tests::settle(*watch);
    const auto look = [&] {
        const auto value = ours->get("bucket", "key");
        ours->read_ahead("bucket", {"key", "none.a", "none.b"});
        BOOST_TEST(!ours->get("bucket", "none.a"));
        BOOST_TEST(!ours->get("bucket", "none.b"));
        BOOST_TEST((ours->list("bucket", "") == std::vector<std::string>{"key"}));
        return value;
    };
    BOOST_TEST(taken_by([&] { BOOST_TEST((look() == value_of(1, 100))); }) >= 4U);
    BOOST_TEST(taken_by([&] { BOOST_TEST((look() == value_of(1, 100))); }) == 0U);
    theirs->put("bucket", "key", value_of(2, 100));
    BOOST_TEST(await_news());
    BOOST_TEST((ours->get("bucket", "key") == value_of(2, 100)));
    theirs->erase("bucket", "key");
    BOOST_TEST(await_news());
    BOOST_TEST(!ours->get("bucket", "key"));
    BOOST_TEST(ours->list("bucket", "").empty());
    BOOST_TEST(theirs->create("bucket", "none.a", value_of(3, 100)));
    BOOST_TEST(await_news());
    BOOST_TEST((ours->get("bucket", "none.a") == value_of(3, 100)));
    BOOST_TEST((ours->list("bucket", "none.") == std::vector<std::string>{"none.a"}));
}

BOOST_FIXTURE_TEST_CASE(who_looks_afresh_asks_again, Watched) {
    theirs->put("bucket", "key", value_of(1, 100));
    tests::settle(*watch);
    (void)ours->get("bucket", "key");
    theirs->put("bucket", "key", value_of(2, 100));
    ours->look_afresh();
    BOOST_TEST((ours->get("bucket", "key") == value_of(2, 100)));
}

BOOST_FIXTURE_TEST_CASE(what_a_party_stores_itself_is_no_news_to_it, Watched) {
    const auto no_news = [&] {
        BOOST_TEST(tests::told(*watch));
        bool news = false;
        do {
            news |= watch->clear();
        } while (tests::told(*watch, 300));
        return !news;
    };
    ours->put("bucket", "key", value_of(1, 100));
    BOOST_TEST(no_news());
    BOOST_TEST(taken_by([&] { BOOST_TEST((ours->get("bucket", "key") == value_of(1, 100))); }) == 0U);
    ours->put_all("bucket", {{"a", value_of(2, 100)}, {"b", value_of(3, 100)}});
    BOOST_TEST(no_news());
    BOOST_TEST((ours->get("bucket", "b") == value_of(3, 100)));
    ours->erase("bucket", "key");
    BOOST_TEST(no_news());
    BOOST_TEST(!ours->get("bucket", "key"));
    BOOST_TEST((theirs->list("bucket", "") == std::vector<std::string>{"a", "b"}));
    // Somebody else was first: his is what is there, though nothing was there when it was looked at.
    BOOST_TEST(!ours->get("bucket", "new"));
    BOOST_TEST(theirs->create("bucket", "new", value_of(4, 100)));
    BOOST_TEST(!ours->create("bucket", "new", value_of(5, 100)));
    BOOST_TEST((ours->get("bucket", "new") == value_of(4, 100)));
}

// What was changed meanwhile was not told.
BOOST_FIXTURE_TEST_CASE(after_a_lost_connection_nothing_is_known_and_nothing_remembered, Watched) {
    theirs->put("bucket", "key", value_of(1, 100));
    tests::settle(*watch);
    BOOST_TEST(ours->get("bucket", "key").has_value());
    cluster.servers.kill(0);
    const auto is_refused = [&] {
        try {
            (void)ours->get("bucket", "key");
            return false;  // cnats has not noticed yet
        } catch (const EngineError&) {
            return true;
        }
    };
    BOOST_TEST(test::eventually(is_refused));
    cluster.servers.start(0);
    cluster.servers.await_leader();
    const auto answers = [&] {
        try {
            return !ours->get("bucket", "key").has_value();  // it was in the server's memory
        } catch (const EngineError&) {
            return false;
        }
    };
    BOOST_TEST(test::eventually(answers));
    BOOST_TEST(tests::told(*watch));
    BOOST_TEST(watch->clear());
    const auto put = [&] {
        try {
            theirs->put("bucket", "key", value_of(2, 100));
            return true;
        } catch (const EngineError&) {
            return false;
        }
    };
    BOOST_TEST(test::eventually(put));
    BOOST_TEST((ours->get("bucket", "key") == value_of(2, 100)));
    theirs->put("bucket", "key", value_of(3, 100));
    BOOST_TEST((ours->get("bucket", "key") == value_of(3, 100)));  // for a minute nothing is trusted
}

BOOST_FIXTURE_TEST_CASE(with_the_watch_its_memory_ends, Watched) {
    theirs->put("bucket", "key", value_of(1, 100));
    tests::settle(*watch);
    (void)ours->get("bucket", "key");
    watch.reset();
    theirs->put("bucket", "key", value_of(2, 100));
    BOOST_TEST((ours->get("bucket", "key") == value_of(2, 100)));
}

// The server puts its own behind it.
BOOST_FIXTURE_TEST_CASE(a_sequence_that_a_writer_made_up_is_not_gone_by, Watched) {
    NatsConnection forger(cluster.servers.addresses(), member.tls, member.access);
    const auto value = value_of(1, 100);
    theirs->put("bucket", "key", value);  // 1
    tests::settle(*watch);
    natsMsg* made = nullptr;
    BOOST_REQUIRE(natsMsg_Create(&made, subject::value("bucket", "key").c_str(), nullptr,
                                 reinterpret_cast<const char*>(value.data()),
                                 static_cast<int>(value.size())) == NATS_OK);
    const NatsMessage forged(made);
    BOOST_REQUIRE(natsMsgHeader_Set(made, "Nats-Sequence", "3") == NATS_OK);
    BOOST_REQUIRE(js_PublishMsg(nullptr, forger.jetstream(), made, nullptr, nullptr) == NATS_OK);  // 2
    BOOST_TEST(await_news());
    BOOST_TEST((ours->get("bucket", "key") == value));
    theirs->put("bucket", "key", value_of(3, 100));  // 3
    BOOST_TEST(await_news());
    BOOST_TEST((ours->get("bucket", "key") == value_of(3, 100)));
}

// Names that no party gives are not kept, and may be anything.
BOOST_FIXTURE_TEST_CASE(a_name_that_no_party_gives_is_news_and_nothing_is_remembered, Watched) {
    NatsConnection forger(cluster.servers.addresses(), member.tls, member.access);
    theirs->put("bucket", "key", value_of(1, 100));
    tests::settle(*watch);
    (void)ours->get("bucket", "key");
    const auto subject = subject::value("bucket", std::string(1000, 'k'));
    BOOST_REQUIRE(js_Publish(nullptr, forger.jetstream(), subject.c_str(), "x", 1, nullptr, nullptr) ==
                  NATS_OK);
    BOOST_TEST(await_news());
    BOOST_TEST(taken_by([&] { BOOST_TEST((ours->get("bucket", "key") == value_of(1, 100))); }) > 0U);
}

// Of a thousand values that a party stores in a run, with a watchdog behind it.
BOOST_AUTO_TEST_CASE(without_a_quorum_one_store_waits_and_the_next_ones_do_not) {
    using Clock = std::chrono::steady_clock;
    tests::NatsCluster cluster(3, {everything()});
    const auto engine = connect_to(cluster);
    engine->put("bucket", "key", value_of(1, 100));
    cluster.servers.kill(0);
    cluster.servers.kill(1);
    const auto time_of = [&](std::string& why) {
        const auto begun = Clock::now();
        try {
            engine->put("bucket", "key", value_of(2, 100));
            why.clear();
        } catch (const EngineError& error) {
            why = error.what();
        }
        return Clock::now() - begun;
    };
    std::string why;
    Clock::duration in_vain{};
    const auto nobody_leads = [&] {
        in_vain = time_of(why);
        return why.ends_with("nobody leads the bucket");
    };
    BOOST_TEST_REQUIRE(test::eventually(nobody_leads, std::chrono::seconds(60)), why);
    Clock::duration of_more{};
    for (int i = 0; i < 4; ++i)
        of_more += time_of(why);
    BOOST_TEST(of_more.count() < in_vain.count());
    BOOST_TEST(why.ends_with("nobody leads the bucket"), why);
    BOOST_TEST((engine->get("bucket", "key") == value_of(1, 100)));

    cluster.servers.start_all();
    BOOST_TEST(test::eventually([&] { return (void)time_of(why), why.empty(); }, std::chrono::seconds(60)),
               why);
    BOOST_TEST((engine->get("bucket", "key") == value_of(2, 100)));
}
