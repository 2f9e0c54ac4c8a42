// What stekd leaves behind of keys whose time is over, and of those that it only passes on.
#define BOOST_TEST_MODULE traces_stekd
#include "daemon/control_client.hpp"
#include "daemon/state.hpp"
#include "provider/ticket_token.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/token/open_token.hpp"
#include "tests/traces/known_instance.hpp"
#include "tests/traces/search.hpp"
#include "tests/traces/stopped.hpp"
#include "tests/traces/vault_children.hpp"

#include <csignal>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::traces;
using std::chrono::seconds;

namespace {

/// Asked in a process of its own.
std::set<PairId> pairs_in_ticket_token(const test::StekdInstance& instance) {
    const auto out = instance.space.path() / "pairs";
    const int status = tests::in_child([&] {
        ::setenv("SOFTHSM2_CONF", (instance.directory / "softhsm2.conf").c_str(), 1);
        try {
            pkcs11::Session session(tests::find_token("pkcs11:token=stekd-ticket?module-path=" +
                                                      std::string(tests::softhsm_module)),
                                    pkcs11::Access::read_only);
            std::string ids;
            for (const auto& id : list_ticket_pairs(session))
                ids.append(id.begin(), id.end());
            test::write_file(out, ids);
            return 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            return 1;
        }
    });
    BOOST_REQUIRE(status == 0);
    const auto ids = test::read_file(out);
    std::set<PairId> pairs;
    for (std::size_t at = 0; at + PairId().size() <= ids.size(); at += PairId().size()) {
        PairId id{};
        std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(at), id.size(), id.begin());
        pairs.insert(id);
    }
    return pairs;
}

struct Scene : KnownInstance {
    Scene() {
        instance.start();
        BOOST_REQUIRE(instance.says("ready"));
    }

    /// In stekd only the chain key of now has a place, and that in the token.
    [[nodiscard]] Needles not_in_stekd() const {
        Needles needles;
        const auto now = static_cast<std::uint64_t>(std::time(nullptr)) / 3;
        for (const auto& [id, derivation] : known()) {
            add_to(needles, id.text(), derivation);
            if (id.epoch >= now)
                needles.erase("chain key of " + id.text());
        }
        return needles;
    }
    /// Nowhere, not even in files that stekd owns.
    [[nodiscard]] Needles in_no_file() const {
        Needles needles;
        for (const auto& [id, derivation] : known())
            add_to(needles, id.text(), derivation);
        return needles;
    }

    void expect_no_trace() {
        await_rest();
        const Stopped stopped(*instance.daemon);
        BOOST_TEST(past().size() >= 2U);
        const auto memory = Search(not_in_stekd()).in_memory(instance.daemon->pid());
        BOOST_TEST(memory.empty(), lines(memory));
        const Search search(in_no_file());
        for (const fs::path& top : {instance.directory, space.path(), fs::path("/run"), fs::path("/dev/shm"),
                                    fs::path("/var/log"), fs::path("/var/lib/systemd/coredump")}) {
            const auto files = search.in_files(top);
            BOOST_TEST(files.empty(), lines(files));
        }
        const auto start = search.in_start(instance.daemon->pid());
        BOOST_TEST(start.empty(), lines(start));
    }

    /// Of pairs by their ids: those that records are wrapped to, and the newest of each slot from now on,
    /// which is made ahead. None of those `before`.
    void expect_pairs_of_live_keys_alone(const std::set<PairId>& before) {
        await_rest();
        const Stopped stopped(*instance.daemon);
        const auto pairs = pairs_in_ticket_token(instance);
        std::set<PairId> wanted;
        const auto ring = instance.ring();
        for (const auto& record : ring->records) {
            wanted.insert(record->pair);
            BOOST_TEST(pairs.contains(record->pair));
        }
        std::map<std::int64_t, PairId> ahead;
        for (const auto& pair : daemon::StateDirectory::peek(instance.directory / "state").memory.pairs)
            ahead[pair.slot] = pair.id;
        const auto now = std::time(nullptr);
        for (const auto& [slot, id] : ahead)
            if (slot >= now - now % 600)
                wanted.insert(id);
        for (const auto& id : pairs) {
            BOOST_TEST(wanted.contains(id), tests::to_hex(id) + " is of no key");
            BOOST_TEST(!before.contains(id), tests::to_hex(id) + " is of keys that are over");
        }
        // A half that is left alone would be listed; any other object would not.
        BOOST_TEST(test::object_files(instance.token_directory(ring->token_serial)).size() ==
                   2 * pairs.size());
    }
};

/// D(key, label) for each secret key in the vault, read out; asked in a process of its own.
std::vector<Key> children_of_vault_keys(const test::StekdInstance& instance, const std::string& label) {
    const auto out = instance.space.path() / "children";
    in_vault(instance, [&](pkcs11::Session& session) {
        pkcs11::Attributes pattern;
        pattern.flag(CKA_TOKEN, true);
        std::string values;
        for (const Key& value : children_of(session, pattern, label))
            values.append(value.begin(), value.end());
        test::write_file(out, values);
    });
    const auto values = test::read_file(out);
    std::vector<Key> keys(values.size() / sizeof(Key));
    for (std::size_t i = 0; i < keys.size(); ++i)
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * sizeof(Key)), sizeof(Key),
                    keys[i].begin());
    return keys;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_search_finds_what_is_there, Scene) {
    follow(seconds(1));
    const auto& [id, derivation] = *known().begin();
    const std::string key(derivation.stek.begin(), derivation.stek.end());
    Needles needles;
    add_to(needles, id.text(), derivation);
    const Search search(needles);
    BOOST_TEST(search.in("").empty());
    BOOST_TEST(search.in("x" + key.substr(0, 16)).size() == 1U);
    BOOST_TEST(search.in("x" + key.substr(16) + "x").size() == 1U);
    const auto hex = tests::to_hex(derivation.stek);
    BOOST_TEST(search.in("key=" + hex).size() == 1U);
    const auto here = search.in_memory(::getpid());
    BOOST_TEST(!here.empty());
    test::write_file(space.path() / "leak", "a log: " + hex + "\n");
    BOOST_TEST(search.in_files(space.path()).size() == 1U);
}

// /run and a server's directories change while they are searched.
BOOST_AUTO_TEST_CASE(the_search_goes_on_behind_what_vanishes) {
    const test::Workspace space("vanishing");
    const Key key{1, 2, 3, 4, 5, 6, 7, 8};
    const Search search(Needles{{"leak", key}});
    const std::string leak(key.begin(), key.begin() + key.size() / 2);
    // Among each other, in whatever order the file system lists them.
    constexpr unsigned directories = 10;
    const auto path = [&](const char* kind, unsigned i) { return space.path() / (kind + std::to_string(i)); };
    for (unsigned i = 0; i < directories; ++i) {
        fs::create_directory(path("kept", i));
        test::write_file(path("kept", i) / "file", leak + std::string(1 << 16, 'x'));
    }
    const std::jthread restless([&](const std::stop_token& stop) {
        for (unsigned i = 0; !stop.stop_requested(); ++i) {
            std::error_code there;
            fs::create_directory(path("gone", i % directories), there);
            fs::remove(path("gone", (i + directories / 2) % directories), there);
        }
    });
    for (unsigned i = 0; i < 200; ++i)
        BOOST_REQUIRE(search.in_files(space.path()).size() == directories);
}

BOOST_FIXTURE_TEST_CASE(stekd_keeps_nothing_after_an_epoch, Scene) {
    follow(seconds(15));
    expect_no_trace();
}

BOOST_FIXTURE_TEST_CASE(stekd_keeps_nothing_after_a_revocation, Scene) {
    follow(seconds(5));
    const auto before = live();
    order({"rotate", "--revoke-old"});
    follow(seconds(1));
    BOOST_TEST(!past().empty());
    order({"revoke", "all"});
    follow(seconds(1));
    for (const auto& [id, derivation] : before)
        BOOST_TEST(past().contains(id), id.text());
    expect_no_trace();
}

BOOST_FIXTURE_TEST_CASE(what_is_said_over_the_control_socket_has_no_key, Scene) {
    using nlohmann::json;
    std::vector<std::string> replies;
    const auto ask = [&](const json& request) {
        try {
            replies.push_back(daemon::ask_stekd(instance.directory / "run" / "control", request).dump());
        } catch (const daemon::ControlError& error) {
            replies.emplace_back(error.what());
        }
        follow(seconds(1));
    };
    follow(seconds(4));
    const auto epoch = known().rbegin()->first.epoch;
    for (const json& request :
         {json{{"do", "status"}}, json{{"do", "rotate"}}, json{{"do", "rotate"}, {"revoke_old", true}},
          json{{"do", "revoke"}, {"keys", {{{"epoch", epoch}}}}}, json{{"do", "revoke"}, {"keys", "all"}},
          json{{"do", "status"}}})
        ask(request);
    for (const auto& reply : replies)
        BOOST_TEST(reply.starts_with("{"), reply << ": not carried out");
    // What it does not carry out.
    for (const json& request : {json{{"do", "explode"}}, json{{"do", "revoke"}, {"keys", "none"}},
                                json{{"do", "retire"}, {"name", "web1"}}})
        ask(request);
    for (const test::Arguments& more : {test::Arguments{}, {"--json"}, {"--prometheus"}}) {
        const auto status = instance.status(more);
        BOOST_TEST(status.exit_code == 0, status.output);
        replies.push_back(status.output);
    }
    BOOST_TEST(known().size() >= 8U);
    const Search search(in_no_file());
    for (const auto& reply : replies) {
        const auto found = search.in(reply);
        BOOST_TEST(found.empty(), lines(found) << " in " << reply);
    }
}

BOOST_FIXTURE_TEST_CASE(the_tokens_keep_the_chain_key_of_now_and_the_pairs_of_live_keys_alone, Scene) {
    follow(seconds(12));
    await_rest();
    const auto now = static_cast<std::uint64_t>(std::time(nullptr)) / 3;
    {
        const Stopped stopped(*instance.daemon);
        const auto children = children_of_vault_keys(instance, "chain");
        BOOST_REQUIRE(children.size() == 1U);
        bool of_now = false;
        for (const auto& [id, derivation] : known()) {
            const bool is_child = next_chain_key(derivation.chain) == children.front();
            of_now = of_now || is_child;
            BOOST_TEST(is_child == (id.epoch == now), id.text());
        }
        BOOST_TEST(of_now);
    }
    // All epochs of ten minutes share a pair, unless an order comes between them.
    const auto at_first = pairs_in_ticket_token(instance);
    BOOST_REQUIRE(!at_first.empty());
    order({"rotate"});
    const auto of_a_turn = pairs_in_ticket_token(instance);
    follow(seconds(12));  // what is wrapped to the pairs of before opens for nine seconds more
    expect_pairs_of_live_keys_alone(at_first);
    order({"revoke", "all"});
    follow(seconds(1));
    expect_pairs_of_live_keys_alone(of_a_turn);
}

BOOST_AUTO_TEST_CASE(no_core_dump) {
    const auto dumps = [](const test::Arguments& command, const fs::path& directory,
                          const std::function<void()>& until) {
        const pid_t child = ::fork();
        if (child == 0) {
            const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
            ::setrlimit(RLIMIT_CORE, &unlimited);
            fs::current_path(directory);
            std::vector<char*> argv;
            for (const auto& argument : command)
                argv.push_back(const_cast<char*>(argument.c_str()));
            argv.push_back(nullptr);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        until();
        ::kill(child, SIGSEGV);
        int status = 0;
        BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
        BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
        return WCOREDUMP(status) != 0 || !fs::is_empty(directory);
    };
    const test::StekdInstance instance;
    const auto here = instance.space.path() / "here", there = instance.space.path() / "there";
    fs::create_directories(here);
    fs::create_directories(there);
    BOOST_TEST(!dumps({STEK_STEKD, "--config", instance.config()}, here, [&] {
        BOOST_REQUIRE(test::eventually([&] { return fs::exists(instance.ring_file()); }, seconds(90)));
    }));
    // Another program would have left one.
    BOOST_TEST(dumps({"/bin/sleep", "60"}, there, [] { ::usleep(300'000); }));
}

BOOST_AUTO_TEST_CASE(no_secret_in_arguments_or_environment) {
    const test::Workspace space("starts");
    const auto trace = space.path() / "trace";
    const auto traced = [&](test::Arguments command) {
        const test::Arguments strace{"strace", "-f",           "-v", "-s", "100000",
                                     "-e",     "trace=execve", "-A", "-o", trace};
        command.insert(command.begin(), strace.begin(), strace.end());
        return test::run(command);
    };
    const auto dir = space.path() / "instance";
    const auto made = traced({STEK_STEKCTL, "init", "--dir", dir, "--location", "test", "--provider",
                              STEK_MODULE, "--reader", "nobody"});
    BOOST_REQUIRE(made.exit_code == 0);
    const auto once = traced({STEK_STEKD, "--config", dir / "stekd.toml", "--once"});
    BOOST_REQUIRE_MESSAGE(once.exit_code == 0, once.output);
    const auto said = made.output + once.output + test::read_file(trace);
    BOOST_TEST(said.find("execve(\"" STEK_STEKD "\"") != std::string::npos);
    unsigned pins = 0;
    for (const auto& file : fs::directory_iterator(dir / "pins")) {
        auto pin = test::read_file(file.path());
        pin.erase(std::find_if(pin.begin(), pin.end(), [](unsigned char c) { return c < ' '; }), pin.end());
        BOOST_TEST(pin.size() >= 16U);
        BOOST_TEST(said.find(pin) == std::string::npos, file.path().filename());
        ++pins;
    }
    BOOST_TEST(pins == 4U);
}
