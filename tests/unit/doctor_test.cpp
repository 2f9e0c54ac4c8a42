// The parts of doctor that touch nothing: how bad the worst is, HOST:PORT, what servers' configurations say.
#define BOOST_TEST_MODULE doctor
#include "daemon/doctor.hpp"

#include "daemon/exit_codes.hpp"
#include "daemon/server_directives.hpp"
#include "tests/fixtures/workspace.hpp"

#include <map>
#include <stdexcept>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace stek::daemon;
using stek::test::Workspace;
using stek::test::write_file;

namespace {

using Files = std::map<std::string, std::string>;

/// A server's folder with these files.
class Folder {
  public:
    explicit Folder(const Files& files) : space_("doctor") {
        for (const auto& [name, text] : files) {
            std::filesystem::create_directories((space_.path() / name).parent_path());
            write_file(space_.path() / name, text);
        }
    }
    [[nodiscard]] std::string path() const { return space_.path().string(); }

  private:
    Workspace space_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_worst_finding_is_the_exit_code) {
    Diagnosis diagnosis;
    BOOST_TEST(exit_code_for(diagnosis.worst()) == exit_ok);
    diagnosis.fine("a", "fine");
    diagnosis.note("b", "worth knowing");
    BOOST_TEST((diagnosis.worst() == Severity::note));
    BOOST_TEST(exit_code_for(diagnosis.worst()) == 0);
    diagnosis.fail("c", "broken", "mend it");
    diagnosis.warn("d", "bad", "better it");
    BOOST_TEST((diagnosis.worst() == Severity::error));
    BOOST_TEST(exit_code_for(Severity::warning) == 1);
    BOOST_TEST(exit_code_for(Severity::error) == 2);
}

BOOST_AUTO_TEST_CASE(a_look_is_fine_or_an_error) {
    Diagnosis diagnosis;
    BOOST_TEST(diagnosis.look(
        "a", [] { return "seen"; }, "none"));
    BOOST_TEST(!diagnosis.look(
        "b", []() -> std::string { throw std::runtime_error("gone"); }, "bring it back"));
    BOOST_TEST(diagnosis_text(diagnosis) == "ok    a: seen\nFAIL  b: gone\n      remedy: bring it back\n");
}

BOOST_AUTO_TEST_CASE(what_is_quoted_can_neither_break_lines_nor_json) {
    Diagnosis diagnosis;
    diagnosis.warn("a", "two\nlines \033[2J\xff", "no\n");
    BOOST_TEST(diagnosis_text(diagnosis) == "WARN  a: two lines  [2J\xff\n      remedy: no \n");
    const auto json = nlohmann::json::parse(diagnosis_json(diagnosis));
    BOOST_TEST(json["worst"] == "warning");
    BOOST_TEST(json["findings"][0]["what"].get<std::string>().starts_with("two\nlines"));
}

BOOST_AUTO_TEST_CASE(endpoints) {
    for (const auto* good : {"localhost:443", "127.0.0.1:1", "[::1]:65535", "www.example.org:08443"}) {
        const auto endpoint = parse_endpoint(good);
        BOOST_REQUIRE_MESSAGE(endpoint, good);
        BOOST_TEST(endpoint->text() == good);
    }
    BOOST_TEST(parse_endpoint("[::1]:443")->host == "::1");
    for (const auto* bad : {"", ":", "host", "host:", ":443", "host:0", "host:65536", "host:443x", "::1:443",
                            "[]:443", "[::1]443", "[::1:443", "host:-1", "a:b:1", "host:999999999999"})
        BOOST_TEST(!parse_endpoint(bad), bad);
}

BOOST_AUTO_TEST_CASE(timeouts_with_units) {
    const std::map<std::string, std::int64_t> good{
        {"300", 300},    {"5m", 300},   {"1h 30m", 5400}, {"1d", 86400}, {"1500ms", 2},   {"1us", 1},
        {"1M", 2592000}, {" 10s ", 10}, {"1w", 604800},   {"0", 0},      {"1h30m", 5400}, {"1y", 31536000}};
    for (const auto& [text, seconds] : good)
        BOOST_TEST((parse_timeout(text) == seconds), text);
    for (const auto* bad :
         {"", "  ", "h", "5x", "-1", "$timeout", "99999999999999999999", "9223372036854775807y"})
        BOOST_TEST(!parse_timeout(bad), bad);
}

BOOST_AUTO_TEST_CASE(nginx_directives) {
    const Folder folder(
        Files{{"nginx.conf", "http {\n # ssl_session_timeout 3d;\n ssl_session_timeout 10m;\n}\n"},
              {"modules-enabled/50-stek.conf", "env OPENSSL_CONF;\n"},
              {"conf.d/a.conf.off", "ssl_session_timeout 2d;"},
              {"sites-enabled/a", "server {ssl_session_timeout 1h 5m;ssl_session_tickets  off ; }"}});
    const auto found = read_nginx(folder.path());
    BOOST_TEST(found.session_timeout == 3900);
    BOOST_TEST(found.timeout_setting == "ssl_session_timeout in " + folder.path() + "/sites-enabled/a");
    BOOST_TEST((found.bans ==
                std::vector<TicketBan>{{folder.path() + "/sites-enabled/a", "ssl_session_tickets off"}}));
    BOOST_TEST(found.keeps_openssl_conf);
}

BOOST_AUTO_TEST_CASE(nginx_that_says_nothing) {
    const Folder folder(Files{
        {"nginx.conf", "http { ssl_session_tickets on; ssl_session_timeout 10s; }\n#env OPENSSL_CONF;\n"}});
    const auto found = read_nginx(folder.path());
    BOOST_TEST(found.session_timeout == 300);  // of the servers that do not set it
    BOOST_TEST(found.bans.empty());
    BOOST_TEST(!found.keeps_openssl_conf);
    BOOST_TEST(!read_nginx("/no/such/folder").keeps_openssl_conf);
}

BOOST_AUTO_TEST_CASE(haproxy_directives) {
    const Folder folder(Files{{"haproxy.cfg",
                               "global\n\tssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n"
                               "\ttune.ssl.lifetime 1d\n"}});
    const auto found = read_haproxy(folder.path());
    BOOST_TEST(found.bans.size() == 1);
    BOOST_TEST(found.session_timeout == 86400);
    BOOST_TEST(found.keeps_openssl_conf);
    const Folder quiet(Files{{"haproxy.cfg", "global\n\t# no-tls-tickets\n\ttune.ssl.lifetime-not 1d\n"}});
    BOOST_TEST(read_haproxy(quiet.path()).bans.empty());
    BOOST_TEST(read_haproxy(quiet.path()).session_timeout == 300);
}

BOOST_AUTO_TEST_CASE(apache_directives) {
    const Folder folder(
        Files{{"mods-enabled/ssl.conf", "\tSSLSessionCacheTimeout  7201\nsslsessiontickets Off\n"},
              {"sites-enabled/a.conf", "#SSLSessionCacheTimeout 9999\nSSLSessionTickets on\n"}});
    const auto found = read_apache(folder.path());
    BOOST_TEST(found.session_timeout == 7201);
    BOOST_TEST((found.bans ==
                std::vector<TicketBan>{{folder.path() + "/mods-enabled/ssl.conf", "SSLSessionTickets off"}}));
}
