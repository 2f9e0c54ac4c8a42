// What a TLS server's user may do, tried as that user in a child process.
#define BOOST_TEST_MODULE stekd_access
#include "daemon/access.hpp"
#include "daemon/another_stekd.hpp"
#include "daemon/config.hpp"
#include "daemon/token_claims.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "stekd_instance.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;

namespace {

/// Runs `act` as the user, without supplementary groups (as HAProxy does); what it returns, or an error's
/// text.
std::string as_user(const char* name, const std::function<std::string()>& act) {
    const auto* user = getpwnam(name);
    BOOST_REQUIRE(user != nullptr);
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    const auto child = ::fork();
    if (child == 0) {
        std::string answer;
        try {
            if (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)
                answer = "cannot become " + std::string(name);
            else
                answer = act();
        } catch (const std::exception& error) {
            answer = error.what();
        }
        [[maybe_unused]] const auto written = ::write(ends[1], answer.data(), answer.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string answer;
    char buffer[4096];
    for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        answer.append(buffer, static_cast<std::size_t>(n));
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return answer;
}

std::string opened(const fs::path& path, int flags) {
    const int fd = ::open(path.c_str(), flags, 0600);
    const int error = errno;
    if (fd >= 0)
        ::close(fd);
    return fd >= 0 ? "yes" : error == EACCES || error == EPERM ? "no" : std::to_string(error);
}

struct Prepared : StekdInstance {
    Prepared() { BOOST_REQUIRE(once().exit_code == 0); }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_reader_reads_the_ring_and_no_one_else_does, Prepared) {
    for (const auto& [user, answer] : {std::pair{"nobody", "yes"}, {"www-data", "no"}})
        BOOST_TEST(as_user(user, [&] { return opened(ring_file(), O_RDONLY); }) == answer, user);
}

BOOST_FIXTURE_TEST_CASE(who_is_a_reader_no_more_reads_nothing_any_more, Prepared) {
    const auto token = token_directory(ring()->token_serial);
    const auto object = token / *object_files(token).begin();
    const auto may = [&](const char* user) {
        return as_user(user, [&] {
            std::string answers;
            for (const auto& path : {fs::path(ring_file()), object, token / "token.object"})
                answers += opened(path, O_RDONLY) + " ";
            for (const auto& [path, how] :
                 {std::pair(token, X_OK), {directory / "tokens", X_OK}, {directory / "run/stats", W_OK}})
                answers += ::access(path.c_str(), how) == 0 ? "yes " : "no ";
            return answers;
        });
    };
    const std::string all = "yes yes yes yes yes yes ", nothing = "no no no no no no ";
    BOOST_TEST(may("nobody") == all);
    edit("readers = [\"nobody\"]", "readers = [\"www-data\"]");
    BOOST_REQUIRE(once().exit_code == 0);
    BOOST_TEST(may("nobody") == nothing);
    BOOST_TEST(may("www-data") == all);
    edit("readers = [\"www-data\"]", "readers = []");
    BOOST_REQUIRE(once().exit_code == 0);
    BOOST_TEST(may("www-data") == nothing);
}

BOOST_FIXTURE_TEST_CASE(a_reader_unwraps_and_uses_a_key_in_the_ticket_token, Prepared) {
    const auto config = daemon::load_config(this->config());
    const auto answer = as_user("nobody", [&] {
        const auto ring = this->ring();
        const auto module = pkcs11::Module::initialize(pkcs11::Library::map(*config.ticket.module_path()),
                                                       config.module_config);
        pkcs11::Session session(pkcs11::Token::find(module, config.ticket), pkcs11::Access::read_only);
        unsigned unwrapped = 0;
        for (const auto& record : ring->records)
            unwrapped += unwrap_stek(session, *record) != CK_INVALID_HANDLE ? 1 : 0;
        return std::to_string(unwrapped) + " of " + std::to_string(ring->records.size());
    });
    BOOST_TEST(answer == "2 of 2");
}

BOOST_FIXTURE_TEST_CASE(a_reader_does_not_see_the_vault, Prepared) {
    const auto config = daemon::load_config(this->config());
    const auto answer = as_user("nobody", [&]() -> std::string {
        const auto module = pkcs11::Module::initialize(pkcs11::Library::map(*config.vault.module_path()),
                                                       config.module_config);
        try {
            pkcs11::Token::find(module, config.vault);
            return "found";
        } catch (const pkcs11::TokenError&) {
            return "not found";
        }
    });
    BOOST_TEST(answer == "not found");
}

BOOST_FIXTURE_TEST_CASE(a_reader_writes_nothing_but_counters, Prepared) {
    std::vector<fs::path> everything;
    for (const auto& entry : fs::recursive_directory_iterator(directory))
        everything.push_back(entry.path());
    BOOST_TEST(everything.size() > 20U);
    const auto answer = as_user("nobody", [&] {
        std::string writable;
        for (const auto& path : everything)
            if (::access(path.c_str(), W_OK) == 0)
                writable += path.string() + "\n";
        return writable;
    });
    BOOST_TEST(answer == (directory / "run/stats").string() + "\n");
}

BOOST_FIXTURE_TEST_CASE(what_is_secret_is_closed_to_readers, Prepared) {
    std::vector<fs::path> closed{directory / "state/state.json", directory / "pins/vault.pin",
                                 directory / "pins/ticket.so-pin"};
    for (const auto& token : fs::directory_iterator(directory / "tokens"))
        if (fs::status(token.path()).permissions() == fs::perms::owner_all)
            for (const auto& file : fs::directory_iterator(token))
                closed.push_back(file.path());
    BOOST_TEST(closed.size() >= 6U);
    for (const auto& path : closed)
        BOOST_TEST(as_user("nobody", [&] { return opened(path, O_RDONLY); }) == "no", path);
}

BOOST_FIXTURE_TEST_CASE(counters_of_one_reader_are_safe_from_another, Prepared) {
    edit("\"nobody\"", "\"nobody\", \"www-data\"");
    const daemon::Readers readers({"nobody", "www-data"});
    readers.allow_writing(directory / "run/stats");
    const auto file = directory / "run/stats/1.1";
    BOOST_TEST(as_user("nobody", [&] { return opened(file, O_RDWR | O_CREAT | O_EXCL); }) == "yes");
    BOOST_TEST(as_user("www-data", [&] { return opened(file, O_RDWR); }) == "no");
    BOOST_TEST(as_user("www-data", [&]() -> std::string {
                   return ::unlink(file.c_str()) == 0 ? "removed" : "kept";
               }) == "kept");
}

BOOST_AUTO_TEST_CASE(a_token_is_claimed_by_one_at_a_time) {
    Workspace space("claims");
    const auto token = space.subdirectory("token");
    daemon::TokenClaims first, second;
    first.take(token);
    first.take(token);
    first.take("");
    const auto names_the_process = [](const daemon::AnotherStekd& error) {
        return std::string(error.what()).find("(process " + std::to_string(::getpid()) + ")") !=
               std::string::npos;
    };
    BOOST_CHECK_EXCEPTION(second.take(token), daemon::AnotherStekd, names_the_process);
    first.keep_only({token});
    BOOST_CHECK_THROW(second.take(token), daemon::AnotherStekd);
    // Another directory by that name, as after a backup was put back.
    fs::rename(token, space.path() / "away");
    fs::create_directory(token);
    first.take(token);
    BOOST_CHECK_THROW(second.take(token), daemon::AnotherStekd);
    BOOST_CHECK_NO_THROW(second.take(space.path() / "away"));
    first.keep_only({});
    BOOST_CHECK_NO_THROW(second.take(token));
    BOOST_CHECK_THROW(second.take(space.path() / "nowhere"), std::system_error);
}

BOOST_AUTO_TEST_CASE(the_directory_of_a_token_is_found_by_its_serial) {
    Workspace space("access");
    const auto tokens = space.subdirectory("tokens");
    const auto wanted = tokens / "0df43c77-66e4-c8d7-751f-aea6d6ee59eb";
    fs::create_directory(wanted);
    fs::create_directory(tokens / "7a691e42-7327-04d9-74a3-eb5deb8c9f12");
    const auto conf = space.path() / "softhsm2.conf";
    write_file(conf,
               "# directories.tokendir = /elsewhere\n  directories.tokendir =  " + tokens.string() + " \n");
    BOOST_TEST(daemon::softhsm_token_directory(conf, "751faea6d6ee59eb") == wanted.string());
    BOOST_TEST(daemon::softhsm_token_directory(conf, "0000000000000000").empty());
    BOOST_TEST(daemon::softhsm_token_directory(conf, "").empty());
    BOOST_TEST(daemon::softhsm_token_directory("/nonexistent", "751faea6d6ee59eb").empty());
}
