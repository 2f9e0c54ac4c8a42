#include "tests/tls/common_cases.hpp"

#include <chrono>
#include <ctime>
#include <map>
#include <set>
#include <thread>

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto pace = milliseconds(100);  ///< between connections, where a case waits for time to pass

std::unique_ptr<Server> started(const Kind& kind, const ServerSetup& setup) {
    auto server = kind.make(setup);
    server->start();
    return server;
}

std::unique_ptr<Server> started(const Kind& kind) {
    return started(kind, scene().setup(kind.name, kind.settings));
}

ClientTerms terms_for(const Server& server, int version) {
    ClientTerms terms;
    terms.port = server.port();
    terms.version = version;
    return terms;
}

KeyName key_name(const Connection& connection) {
    KeyName name{};
    BOOST_REQUIRE_GE(connection.ticket.size(), name.size());
    std::copy_n(connection.ticket.begin(), name.size(), name.begin());
    return name;
}

/// The ticket's record in that instance's ring, or a failed test.
RingRecord const& our_record(const KeyRing& ring, const Connection& connection) {
    const RingRecord* record = record_of(ring, connection.ticket);
    BOOST_REQUIRE_MESSAGE(record != nullptr, "a ticket of " << connection.ticket.size()
                                                            << " bytes begins with no key name of the ring");
    return *record;
}

void hundred_in_a_row(const Kind& kind, int version) {
    const auto server = started(kind);
    const ClientTerms terms = terms_for(*server, version);
    Connection last = connect(terms);
    BOOST_TEST(!last.reused);
    std::string worker = server->worker(last);
    std::set<std::string> workers{worker};
    unsigned resumed = 0, resumed_elsewhere = 0;
    for (int i = 1; i < 100; ++i) {
        our_record(*scene().instance.ring(), last);
        last = resume(terms, last);
        resumed += last.reused ? 1 : 0;
        if (kind.workers > 1) {
            const std::string now = server->worker(last);
            resumed_elsewhere += last.reused && now != worker ? 1 : 0;
            workers.insert(worker = now);
        }
    }
    BOOST_TEST(resumed == 99U);
    if (kind.workers > 1) {
        BOOST_TEST(workers.size() == kind.workers);
        BOOST_TEST(resumed_elsewhere > 0U);
    }
}

void resumed_after_a_restart(const Kind& kind, int version) {
    const auto server = started(kind);
    const Connection before = connect(terms_for(*server, version));
    server->restart();
    BOOST_TEST(resume(terms_for(*server, version), before).reused);
}

void resumed_by_another_process(const Kind& kind, int version) {
    const auto one = started(kind), two = started(kind);
    const Connection first = connect(terms_for(*one, version));
    const Connection second = resume(terms_for(*two, version), first);
    BOOST_TEST(second.reused);
    BOOST_TEST(resume(terms_for(*one, version), second).reused);
}

void not_with_another_certificate(const Kind& kind, int version) {
    const auto server = started(kind);
    Scene::Settings settings = kind.other_certificate_settings;
    settings.insert(kind.settings.begin(), kind.settings.end());
    ServerSetup setup = scene().setup(kind.name, settings);
    setup.identity = scene().another;
    const auto other = started(kind, setup);
    const Connection first = connect(terms_for(*server, version));
    check_declined(terms_for(*other, version), first, "another certificate");
    BOOST_TEST(resume(terms_for(*server, version), first).reused);
}

void not_under_another_name(const Kind& kind, int version) {
    const auto server = started(kind);
    const ClientTerms terms = terms_for(*server, version);
    const Connection first = connect(terms);
    ClientTerms other = terms, none = terms;
    other.server_name = "other.stek.test";
    none.server_name = "";
    check_declined(other, first, "another server name");
    check_declined(none, first, "no server name");
    BOOST_TEST(resume(terms, first).reused);
}

/// Both versions resume all the time, each on its last ticket, until two rotations have gone by.
void rotations_upset_nobody(const Kind& kind) {
    const auto server = started(kind);
    std::map<int, Connection> first, last;
    std::map<int, std::set<KeyName>> names;
    for (const int version : versions) {
        first[version] = last[version] = connect(terms_for(*server, version));
        names[version].insert(key_name(last[version]));
    }
    const auto end = steady_clock::now() + seconds(30);
    const auto seen_two = [&] {
        return names[TLS1_2_VERSION].size() > 2 && names[TLS1_3_VERSION].size() > 2;
    };
    while (!seen_two() && steady_clock::now() < end) {
        for (const int version : versions) {
            last[version] = resume(terms_for(*server, version), last[version]);
            BOOST_REQUIRE_MESSAGE(last[version].reused, version_name(version) << " was not resumed");
            names[version].insert(key_name(last[version]));
        }
        std::this_thread::sleep_for(pace);
    }
    BOOST_TEST(seen_two());
    for (const int version : versions) {
        const Connection late = resume(terms_for(*server, version), first[version]);
        BOOST_TEST(late.reused);
        BOOST_TEST((key_name(late) != key_name(first[version])));  // renewed
    }
}

/// However fresh the ticket, 2 s after the full handshake it is over; then it begins anew.
void not_beyond_max_lineage(const Kind& kind) {
    Scene::Settings settings = kind.settings;
    settings["max-lineage"] = "2";
    const auto server = started(kind, scene().setup(kind.name, settings));
    std::map<int, Connection> last;
    std::map<int, unsigned> resumed, declined;
    for (const int version : versions)
        last[version] = connect(terms_for(*server, version));
    const auto end = steady_clock::now() + seconds(4);
    while (steady_clock::now() < end) {
        for (const int version : versions) {
            last[version] = resume(terms_for(*server, version), last[version]);
            ++(last[version].reused ? resumed : declined)[version];
        }
        std::this_thread::sleep_for(pace);
    }
    for (const int version : versions) {
        BOOST_TEST(resumed[version] > 0U);
        // whole seconds are compared: a lineage of 2 ends after 2 to 3 s
        BOOST_TEST(declined[version] >= 1U);
        BOOST_TEST(declined[version] <= 2U);
    }
}

void not_after_the_open_window(const Kind& kind) {
    Instance& hasty = scene().hasty();
    ServerSetup setup = scene().setup(kind.name);
    setup.openssl_conf =
        kind.settings.empty() ? hasty.openssl_conf() : hasty.openssl_conf_with(kind.settings);
    const auto server = started(kind, setup);
    std::map<int, Connection> first;
    std::int64_t open_until = 0;
    for (const int version : versions) {
        first[version] = connect(terms_for(*server, version));
        open_until = std::max(open_until, our_record(*hasty.ring(), first[version]).open_until);
        BOOST_TEST(resume(terms_for(*server, version), first[version]).reused);
    }
    BOOST_REQUIRE(eventually([&] { return std::time(nullptr) >= open_until; }));
    for (const int version : versions)
        check_declined(terms_for(*server, version), first[version], "its key opens no more");
}

// A process that asks some clients for certificates declines the first ticket on each route: it has yet to
// learn where it leads. Which worker that is, chance decides.
void check_resumed_in_the_end(const ClientTerms& terms, const Connection& first) {
    Connection last = resume(terms, first);
    for (int i = 0; i < 20 && !last.reused; ++i)
        last = resume(terms, last);
    BOOST_TEST(last.reused);
}

void add(const std::string& name, const std::function<void()>& body) {
    boost::unit_test::framework::current_auto_test_suite().add(
        boost::unit_test::make_test_case(body, name, __FILE__, __LINE__));
}

}  // namespace

void check_declined(const ClientTerms& terms, const Connection& last, const std::string& why) {
    const Connection connection = resume(terms, last);
    BOOST_TEST(!connection.reused, version_name(terms.version) << " resumed in spite of: " << why);
}

void check_listeners_apart(std::uint16_t open, std::uint16_t strict, int version) {
    ClientTerms to_open, to_strict;
    to_open.port = open;
    to_strict.port = strict;
    to_open.version = to_strict.version = version;
    to_strict.identity = &scene().client_identity;
    const Connection of_open = connect(to_open), of_strict = connect(to_strict);
    check_declined(to_strict, of_open, "a ticket of the open listener");
    check_declined(to_open, of_strict, "a ticket of the strict listener");
    check_resumed_in_the_end(to_open, of_open);
    check_resumed_in_the_end(to_strict, of_strict);

    // Without a certificate, the open listener's ticket must not open the strict one.
    to_strict.identity = nullptr;
    to_strict.session = of_open.session;
    const Connection intruder = scene().client.connect(to_strict);
    BOOST_TEST(!intruder.reused);
    BOOST_TEST(!(intruder.ok && intruder.answer.find(" 200 ") != std::string::npos));
}

CommonCases::CommonCases(const Kind& kind) {
    using VersionCase = void (*)(const Kind&, int);
    const std::pair<const char*, VersionCase> each_version[] = {
        {"hundred_in_a_row", hundred_in_a_row},
        {"resumed_after_a_restart", resumed_after_a_restart},
        {"resumed_by_another_process", resumed_by_another_process},
        {"not_with_another_certificate", not_with_another_certificate},
        {"not_under_another_name", not_under_another_name},
    };
    for (const auto& [name, body] : each_version) {
        if (body == not_under_another_name && !kind.bound_to_names)
            continue;
        for (const int version : versions)
            add(kind.name + "_" + name + "_" + version_name(version),
                [kind, body = body, version] { body(kind, version); });
    }
    using Case = void (*)(const Kind&);
    const std::pair<const char*, Case> both_versions[] = {
        {"rotations_upset_nobody", rotations_upset_nobody},
        {"not_beyond_max_lineage", not_beyond_max_lineage},
        {"not_after_the_open_window", not_after_the_open_window},
    };
    for (const auto& [name, body] : both_versions)
        add(kind.name + "_" + name, [kind, body = body] { body(kind); });
}

}  // namespace stek::test
