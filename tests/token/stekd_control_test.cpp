// The control socket of a running stekd: orders, and what peers may do to it.
#define BOOST_TEST_MODULE stekd_control
#include "daemon/config.hpp"
#include "daemon/control_client.hpp"
#include "daemon/health.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/socket.hpp"

#include <cerrno>
#include <fcntl.h>
#include <future>
#include <pwd.h>
#include <random>
#include <set>
#include <thread>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace data = boost::unit_test::data;
namespace fs = std::filesystem;
using namespace stek;
using namespace stek::daemon;
using namespace stek::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Running : StekdInstance {
    explicit Running(unsigned period = 3600, unsigned session_timeout = 7200)
        : StekdInstance(period, session_timeout) {
        start();
        BOOST_REQUIRE(says("ready"));
    }

    [[nodiscard]] std::string socket() const { return directory / "run" / "control"; }
    [[nodiscard]] Outcome ctl(Arguments arguments) const {
        arguments.insert(arguments.begin(), STEK_STEKCTL);
        arguments.insert(arguments.end(), {"--config", config()});
        return run(arguments);
    }
    [[nodiscard]] json ask(const json& request) const { return ask_stekd(socket(), request); }
    [[nodiscard]] bool still_answers() const { return ask({{"do", "status"}}).at("ok").get<bool>(); }
    [[nodiscard]] KeyId sealing() const {
        const auto now = ring();
        const auto* record = sealing_record(*now, time(nullptr), 0);
        BOOST_REQUIRE(record != nullptr);
        return {record->epoch, record->revision};
    }
};

/// A connection that does not know the protocol.
Socket raw_connection(const std::string& path) {
    Socket fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
}

/// The one packet that comes back; empty: it hung up.
std::string answer_on(const Socket& fd) {
    const timeval limit{30, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char buffer[longest_reply];
    auto length = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (length < 0 && errno == ECONNRESET)
        length = ::recv(fd.get(), buffer, sizeof buffer, 0);
    return length > 0 ? std::string(buffer, static_cast<std::size_t>(length)) : std::string();
}

std::string answer_to(const std::string& path, const std::string& packet) {
    const auto fd = raw_connection(path);
    BOOST_REQUIRE(::send(fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(packet.size()));
    return answer_on(fd);
}

/// Whether a server that has this copy of a ring could take a key from it now.
bool opens(const StekdInstance& instance, const RingRecord& record) {
    const auto config = load_config(instance.config());
    const auto module =
        pkcs11::Module::initialize(pkcs11::Library::map(*config.ticket.module_path()), config.module_config);
    bool opened = true;
    try {
        pkcs11::Session session(pkcs11::Token::find(module, config.ticket), pkcs11::Access::read_only);
        unwrap_stek(session, record);
    } catch (const std::exception&) {
        opened = false;
    }
    module->finalize();
    return opened;
}

const RingRecord* find(const KeyRing& ring, KeyId key) {
    for (const auto& record : ring.records)
        if (KeyId{record->epoch, record->revision} == key)
            return record.get();
    return nullptr;
}

std::string text_of(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_socket_is_for_its_owner_only_and_goes_with_the_daemon) {
    Running stekd;
    struct stat status {};
    BOOST_REQUIRE(::stat(stekd.socket().c_str(), &status) == 0);
    BOOST_TEST(S_ISSOCK(status.st_mode));
    BOOST_TEST((status.st_mode & 07777) == 0600U);
    BOOST_TEST(status.st_uid == ::geteuid());
    stekd.daemon->stop();
    BOOST_TEST(!fs::exists(stekd.socket()));
    const auto outcome = stekd.ctl({"rotate"});
    BOOST_TEST(outcome.exit_code == 75);
    BOOST_TEST(outcome.output.find("it does not run") != std::string::npos, outcome.output);
}

BOOST_AUTO_TEST_CASE(status_tells_how_it_is_doing) {
    Running stekd;
    const auto health = health_from_json(stekd.ask({{"do", "status"}}).at("health"));
    BOOST_TEST(health.ready);
    BOOST_TEST(health.trouble == "");
    BOOST_TEST(health.rotations >= 1U);
    BOOST_TEST(health.failures == 0U);
    BOOST_TEST(health.started_at <= time(nullptr));
    BOOST_TEST(health.last_rotation >= health.started_at);
    BOOST_TEST(health.next_edge % 3600 == 0);
    BOOST_TEST(health.next_edge > health.started_at);
    BOOST_TEST(health.chain.has_value());
    BOOST_TEST(health.chain_lag == 0U);
    BOOST_TEST(health.tokens_open);
    // A token that is gone shows, and so does that it came back.
    fs::rename(stekd.directory / "tokens", stekd.directory / "elsewhere");
    stekd.daemon->signal(SIGHUP);
    const auto ask = [&] { return health_from_json(stekd.ask({{"do", "status"}}).at("health")); };
    BOOST_TEST(eventually([&] { return !ask().trouble.empty(); }, 30s));
    BOOST_TEST(ask().failures >= 1U);
    BOOST_TEST(!ask().tokens_open);
    const auto refused = stekd.ctl({"rotate"});
    BOOST_TEST(refused.exit_code == 75, refused.output);
    fs::remove_all(stekd.directory / "tokens");
    fs::rename(stekd.directory / "elsewhere", stekd.directory / "tokens");
    BOOST_TEST(eventually([&] { return ask().trouble.empty(); }, 60s));
}

BOOST_AUTO_TEST_CASE(rotate_gives_a_new_key_to_seal_with) {
    Running stekd;
    const auto before = stekd.sealing();
    const auto outcome = stekd.ctl({"rotate"});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    const auto after = stekd.sealing();
    BOOST_TEST(after.epoch == before.epoch);
    BOOST_TEST(after.revision > before.revision);
    BOOST_TEST(outcome.output.find("servers seal with " + text_of(after)) != std::string::npos,
               outcome.output);
    const auto ring = stekd.ring();
    const auto *old = find(*ring, before), *fresh = find(*ring, after);
    BOOST_REQUIRE(old != nullptr);
    BOOST_TEST(opens(stekd, *old), "older tickets open as before");
    BOOST_TEST(opens(stekd, *fresh));
    BOOST_TEST((old->pair != fresh->pair));
    const auto reply = stekd.ask({{"do", "rotate"}});
    BOOST_TEST(reply.at("key") == text_of(stekd.sealing()));
    BOOST_TEST(reply.at("generation") == stekd.ring()->generation);
}

BOOST_AUTO_TEST_CASE(rotate_and_revoke_old_leaves_new_keys_only) {
    Running stekd;
    BOOST_TEST(stekd.ctl({"rotate"}).exit_code == 0);
    const auto copy = stekd.ring();
    BOOST_TEST(copy->records.size() == 3U);
    const auto outcome = stekd.ctl({"rotate", "--revoke-old"});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    const auto ring = stekd.ring();
    for (const auto& record : copy->records) {
        BOOST_TEST(find(*ring, {record->epoch, record->revision}) == nullptr);
        BOOST_TEST(!opens(stekd, *record), "a copy of the old ring opens nothing");
    }
    for (const auto& record : ring->records)
        BOOST_TEST(opens(stekd, *record));
    BOOST_TEST(ring->records.size() == 2U);
}

BOOST_AUTO_TEST_CASE(revoke_takes_the_named_key_and_no_other) {
    Running stekd;
    const auto first = stekd.sealing();
    BOOST_TEST(stekd.ctl({"rotate"}).exit_code == 0);
    const auto copy = stekd.ring();
    const auto sealing = stekd.sealing();
    const auto outcome = stekd.ctl({"revoke", text_of(first)});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST(outcome.output.find("revoked " + text_of(first) + "\n") != std::string::npos, outcome.output);
    BOOST_TEST((stekd.sealing() == sealing));
    BOOST_TEST(find(*stekd.ring(), first) == nullptr);
    BOOST_TEST(!opens(stekd, *find(*copy, first)));
    BOOST_TEST(opens(stekd, *find(*copy, sealing)));

    const auto again = stekd.ctl({"revoke", text_of(first), "12345"});
    BOOST_TEST(again.exit_code == 1);
    BOOST_TEST(again.output.find("12345 is not in the ring") != std::string::npos, again.output);

    const auto epoch = stekd.ctl({"revoke", "0" + std::to_string(sealing.epoch)});
    BOOST_TEST(epoch.exit_code == 0, epoch.output);
    BOOST_TEST(epoch.output.find("is not in the ring") == std::string::npos, epoch.output);
    BOOST_TEST((stekd.sealing() > sealing), "another key is made at once");
    BOOST_TEST(!opens(stekd, *find(*copy, sealing)));
}

BOOST_AUTO_TEST_CASE(after_revoke_all_an_old_copy_of_the_ring_opens_nothing) {
    Running stekd;
    const auto copy = stekd.ring();
    for (const auto& record : copy->records)
        BOOST_TEST(opens(stekd, *record));
    const auto outcome = stekd.ctl({"revoke", "all"});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    for (const auto& record : copy->records)
        BOOST_TEST(!opens(stekd, *record));
    BOOST_TEST(opens(stekd, *find(*stekd.ring(), stekd.sealing())));
}

BOOST_AUTO_TEST_CASE(at_short_periods_revoking_one_key_gives_up_those_on_its_pair) {
    Running stekd(2, 120);
    const auto copy = stekd.ring();
    const auto pair = find(*copy, stekd.sealing())->pair;
    const auto reply = stekd.ask({{"do", "revoke"}, {"keys", {{{"epoch", copy->records.front()->epoch}}}}});
    BOOST_TEST(!reply.at("revoked").empty());
    for (const auto& record : copy->records)
        BOOST_TEST(opens(stekd, *record) == (record->pair != pair));
    BOOST_TEST(opens(stekd, *find(*stekd.ring(), stekd.sealing())));
}

BOOST_AUTO_TEST_CASE(wrong_usage_and_no_socket) {
    StekdInstance instance;
    const auto ctl = [&](const Arguments& arguments) {
        Arguments all{STEK_STEKCTL};
        all.insert(all.end(), arguments.begin(), arguments.end());
        all.insert(all.end(), {"--config", instance.config()});
        return run(all);
    };
    for (const Arguments& arguments : {Arguments{"revoke"},
                                       {"revoke", "x"},
                                       {"revoke", "1.2.3"},
                                       {"revoke", "-1"},
                                       {"revoke", "1."},
                                       {"revoke", "all", "1"},
                                       {"revoke", "99999999999999999999"},
                                       {"rotate", "all"}})
        BOOST_TEST(ctl(arguments).exit_code == 64, arguments.back());
    instance.edit("control = ", "# control = ");
    const auto outcome = ctl({"rotate"});
    BOOST_TEST(outcome.exit_code == 78);
    BOOST_TEST(outcome.output.find("paths.control") != std::string::npos, outcome.output);
}

BOOST_AUTO_TEST_CASE(what_is_no_request_is_refused_and_harms_nothing) {
    Running stekd;
    const auto generation = stekd.ring()->generation;
    std::mt19937 random(1);
    for (int i = 0; i < 100; ++i) {
        std::string noise(1 + random() % longest_request, '\0');
        for (auto& c : noise)
            c = static_cast<char>(random());
        const auto reply = json::parse(answer_to(stekd.socket(), noise));
        BOOST_TEST(reply.at("ok") == false);
        BOOST_TEST(reply.at("error").get<std::string>().find("not JSON") != std::string::npos);
    }
    const auto half = json::parse(answer_to(stekd.socket(), R"({"do": "rot)"));
    BOOST_TEST(half.at("ok") == false);
    const auto long_one = answer_to(stekd.socket(), std::string(longest_request, ' ') + R"({"do":"rotate"})");
    BOOST_TEST(long_one.find("4096 bytes") != std::string::npos, long_one);
    BOOST_CHECK_THROW(stekd.ask({{"do", "explode"}}), ControlError);
    BOOST_TEST(stekd.ring()->generation == generation);
    BOOST_TEST(stekd.still_answers());
}

BOOST_AUTO_TEST_CASE(a_megabyte_is_not_read) {
    Running stekd;
    const auto fd = raw_connection(stekd.socket());
    const int room = 4 << 20;
    BOOST_REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) == 0);
    const std::string megabyte(1 << 20, '[');
    BOOST_TEST(::send(fd.get(), megabyte.data(), megabyte.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(megabyte.size()));
    const auto reply = answer_on(fd);
    BOOST_TEST(reply.find("4096 bytes") != std::string::npos, reply);
    BOOST_TEST(stekd.still_answers());
}

BOOST_AUTO_TEST_CASE(who_says_nothing_is_sent_away) {
    Running stekd;
    const auto silent = raw_connection(stekd.socket());
    BOOST_TEST(stekd.still_answers(), "others are not kept waiting");
    const auto reply = answer_on(silent);
    BOOST_TEST(reply.find("no request came") != std::string::npos, reply);
    const auto gone = raw_connection(stekd.socket());
    ::shutdown(gone.get(), SHUT_RDWR);
    BOOST_TEST(stekd.still_answers());
}

BOOST_AUTO_TEST_CASE(a_thousand_at_once_and_an_honest_request_is_answered) {
    Running stekd;
    const rlimit descriptors{4096, 4096};
    BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    std::vector<Socket> crowd;
    for (int i = 0; i < 1000; ++i)
        crowd.push_back(raw_connection(stekd.socket()));
    const auto before = stekd.sealing();
    const auto outcome = stekd.ctl({"rotate"});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST((stekd.sealing() > before));
    for (const auto& fd : crowd)
        BOOST_TEST(answer_on(fd).find("\"ok\":false") != std::string::npos);
    BOOST_TEST(stekd.daemon->running());
}

BOOST_AUTO_TEST_CASE(others_than_root_are_refused_even_if_the_mode_is_loosened) {
    Running stekd;
    fs::permissions(stekd.space.path(), fs::perms(0755));
    const auto as_nobody = [&] {
        int result[2];
        BOOST_REQUIRE(::pipe(result) == 0);
        const auto child = ::fork();
        if (child == 0) {
            std::string said = "?";
            const auto* nobody = ::getpwnam("nobody");
            if (nobody != nullptr && ::setgid(nobody->pw_gid) == 0 && ::setuid(nobody->pw_uid) == 0) {
                try {
                    said = ask_stekd(stekd.socket(), {{"do", "rotate"}}).dump();
                } catch (const std::exception& error) {
                    said = error.what();
                }
            }
            static_cast<void>(!::write(result[1], said.data(), said.size()));
            ::_exit(0);
        }
        ::close(result[1]);
        char text[1024];
        const auto length = ::read(result[0], text, sizeof text);
        ::close(result[0]);
        ::waitpid(child, nullptr, 0);
        return std::string(text, length > 0 ? static_cast<std::size_t>(length) : 0U);
    };
    const auto generation = stekd.ring()->generation;
    const auto by_mode = as_nobody();
    BOOST_TEST(by_mode.find("only root and stekd's own user") != std::string::npos, by_mode);
    BOOST_REQUIRE(::chmod(stekd.socket().c_str(), 0666) == 0);
    const auto by_credentials = as_nobody();
    BOOST_TEST(by_credentials.find("only root and stekd's own user") != std::string::npos, by_credentials);
    BOOST_TEST(stekd.says("neither root's nor stekd's"));
    BOOST_TEST(stekd.ring()->generation == generation);
}

BOOST_AUTO_TEST_CASE(a_stale_socket_is_replaced_and_another_daemons_is_not) {
    Running stekd;
    stekd.daemon->signal(SIGKILL);
    BOOST_REQUIRE(stekd.daemon->wait(20s));
    BOOST_TEST(fs::exists(stekd.socket()));
    stekd.start();
    BOOST_REQUIRE(stekd.says("ready"));
    BOOST_TEST(stekd.still_answers());

    StekdInstance other;
    other.edit((other.directory / "run/control").string(), stekd.socket());
    other.start();
    // Keys come first. It tries again, and hears when it may.
    BOOST_REQUIRE(
        eventually([&] { return other.log().find("somebody listens at") != std::string::npos; }, 60s));
    BOOST_TEST(other.ring() != nullptr);
    BOOST_TEST(other.log().find("ready") != std::string::npos, other.log());
    BOOST_TEST(stekd.still_answers());
    stekd.daemon->stop();
    BOOST_TEST(eventually([&] { return other.log().find("all is well again") != std::string::npos; }, 60s));
    BOOST_TEST(fs::is_socket(stekd.socket()));
    other.daemon->stop();

    other.edit(stekd.socket(), other.config());
    other.start();
    BOOST_REQUIRE(eventually([&] { return other.log().find("is not a socket") != std::string::npos; }, 60s));
    BOOST_TEST(fs::is_regular_file(other.config()));
}

BOOST_AUTO_TEST_CASE(a_reload_with_a_path_that_is_taken_leaves_the_old_one) {
    Running stekd;
    const auto right = read_file(stekd.config());
    stekd.edit("period = 3600", "period = 1800");
    stekd.edit("\"" + stekd.socket() + "\"", "\"" + stekd.config() + "\"");
    stekd.daemon->signal(SIGHUP);
    BOOST_TEST(stekd.says("the old configuration stays: "));
    BOOST_TEST(stekd.still_answers());
    BOOST_TEST(stekd.ring()->period == 3600U);
    const auto moved = stekd.directory / "run/elsewhere";
    write_file(stekd.config(), right);
    stekd.edit(stekd.socket(), moved);
    stekd.daemon->signal(SIGHUP);
    BOOST_TEST(stekd.says("configuration read anew"));
    BOOST_TEST(ask_stekd(moved, {{"do", "status"}}).at("ok").get<bool>());
    BOOST_TEST(!fs::exists(stekd.socket()));
}

BOOST_AUTO_TEST_CASE(a_socket_that_was_removed_comes_back_with_a_reload) {
    Running stekd;
    fs::remove(stekd.socket());
    stekd.daemon->signal(SIGHUP);
    BOOST_TEST(eventually([&] { return fs::exists(stekd.socket()); }));
    BOOST_TEST(stekd.still_answers());
}

// The order makes its run put a new socket in place, and the old one is at work then.
BOOST_AUTO_TEST_CASE(an_order_over_a_socket_that_was_removed_is_obeyed) {
    Running stekd;
    const auto first = raw_connection(stekd.socket()), second = raw_connection(stekd.socket());
    fs::remove(stekd.socket());
    for (const auto* connection : {&first, &second}) {
        const std::string order = R"({"do": "rotate"})";
        BOOST_REQUIRE(::send(connection->get(), order.data(), order.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(order.size()));
        BOOST_TEST(answer_on(*connection).find("\"ok\":true") != std::string::npos);
    }
    stekd.daemon->signal(SIGHUP);
    BOOST_TEST(eventually([&] { return fs::exists(stekd.socket()); }));
    BOOST_TEST(stekd.still_answers());
}

namespace {

// Killed at some moment while it works on an order: what was answered stays, what was not is done or lost,
// and nothing is left half done.
void kill_after(int delay) {
    Running stekd;
    const auto copy = stekd.ring();
    auto answered = std::async(std::launch::async, [&] {
        try {
            return stekd.ask({{"do", "revoke"}, {"keys", "all"}}).at("ok").get<bool>();
        } catch (const ControlError&) {
            return false;
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    stekd.daemon->signal(SIGKILL);
    BOOST_REQUIRE(stekd.daemon->wait(20s));
    const bool done = answered.get();
    stekd.start();
    BOOST_REQUIRE(stekd.says("ready"));
    const auto ring = stekd.ring();
    const auto sealing = find(*ring, stekd.sealing());
    BOOST_TEST(opens(stekd, *sealing));
    std::set<bool> revoked;
    for (const auto& record : copy->records) {
        const bool gone = find(*ring, {record->epoch, record->revision}) == nullptr;
        BOOST_TEST(opens(stekd, *record) == !gone, "what left the ring opens nothing");
        revoked.insert(gone);
    }
    if (done)
        BOOST_TEST((revoked == std::set<bool>{true}), "an answered revocation stays done");
}

/// In milliseconds. The answer comes within a second: it waits for RSA pairs.
std::vector<int> delays() {
    if (at_full_length())
        return {0, 5, 20, 60, 150, 400, 1000};
    return {5, 60, 1000};
}

}  // namespace

BOOST_DATA_TEST_CASE(killed_between_order_and_answer, data::make(delays()), delay) {
    kill_after(delay);
}
