// What a TLS server holds: with the token in another process, as an HSM is, no key at all; with SoftHSM in
// it, those alone whose time is now.
#define BOOST_TEST_MODULE traces_server
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/remote_module.hpp"
#include "tests/fixtures/tls_client.hpp"
#include "tests/traces/known_instance.hpp"
#include "tests/traces/search.hpp"

#include <csignal>
#include <thread>

#include <boost/test/unit_test.hpp>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::traces;
using std::chrono::seconds;

namespace {

constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/// What is told to the journal, read all the time: the kernel holds ten entries and drops the others.
class Journal {
  public:
    explicit Journal(const fs::path& directory)
        : catcher_(directory), reader_([this](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  catcher_.wait(std::chrono::milliseconds(100));
                  catcher_.entries();
              }
          }) {}
    const std::vector<std::string>& to_the_end() {
        reader_ = {};
        return catcher_.entries();
    }

  private:
    tests::JournalCatcher catcher_;
    std::jthread reader_;
};

struct Scene : KnownInstance {
    Scene() : pki(space.subdirectory("pki")), www(pki.server("www", {"www.stek.test"})), client(pki) {
        std::signal(SIGPIPE, SIG_IGN);
        instance.start();
        BOOST_REQUIRE(instance.says("ready"));
    }

    void serve(const fs::path& openssl_conf) {
        place = space.subdirectory("nginx");
        nginx.emplace(test::ServerSetup{place, openssl_conf, www, pki.authority()},
                      test::NginxOptions{.access_log = true});
        nginx->start();
    }
    /// A connection that offers `session` (may be null), on either version.
    test::Connection connect(int version, test::SessionPtr session = nullptr) {
        test::ClientTerms terms;
        terms.port = nginx->port();
        terms.version = version;
        terms.session = std::move(session);
        auto connection = client.connect(terms);
        BOOST_REQUIRE_MESSAGE(connection.ok, connection.error);
        return connection;
    }
    /// Until each worker has opened and sealed tickets of each version under the keys of now, and looked at
    /// the ring since the last change.
    void use_all_workers() {
        ++uses;
        for (const int version : versions) {
            std::set<pid_t> workers;
            unsigned resumed = 0;
            for (unsigned i = 0; i < 200 && (workers.size() < 2 || resumed < 10); ++i) {
                const auto first = connect(version);
                const auto second = connect(version, first.session);
                resumed += second.reused;
                for (const auto& connection : {first, second})
                    workers.insert(static_cast<pid_t>(std::stol(connection.header("X-Pid"))));
            }
            BOOST_TEST(workers.size() == 2U);
            BOOST_TEST(resumed >= 10U);
        }
    }
    [[nodiscard]] std::vector<pid_t> processes() const {
        auto all = nginx->workers();
        all.push_back(nginx->master());
        BOOST_TEST(all.size() == 3U);
        return all;
    }
    [[nodiscard]] std::vector<std::string> in_memory(const Needles& needles) const {
        std::vector<std::string> found;
        const Search search(needles);
        for (const pid_t pid : processes())
            for (const auto& what : search.in_memory(pid))
                found.push_back(what + " of " + std::to_string(pid));
        return found;
    }
    /// Ends the server: what it logs then counts too. In its logs and what the provider told the journal.
    void expect_no_line() {
        nginx->stop();
        const Search search(all_of(known()));
        for (const char* log : {"error.log", "access.log"})
            BOOST_TEST(!test::read_file(place / log).empty(), log);
        const auto in_files = search.in_files(place);
        BOOST_TEST(in_files.empty(), lines(in_files));
        unsigned keys_taken = 0;
        for (const auto& entry : journal.to_the_end()) {
            keys_taken += entry.find("took the ticket key of epoch") != std::string::npos;
            const auto in_entry = search.in(entry);
            BOOST_TEST(in_entry.empty(), lines(in_entry) << " in " << entry);
        }
        BOOST_TEST(keys_taken >= uses);  // in each a worker met a new key
    }
    static Needles all_of(const std::map<Id, Derivation>& keys) {
        Needles needles;
        for (const auto& [id, derivation] : keys)
            add_to(needles, id.text(), derivation);
        return needles;
    }

    Journal journal{space.subdirectory("journal")};  // before what it is to be told of is started
    fs::path place;
    unsigned uses = 0;
    test::Pki pki;
    test::Identity www;
    test::TlsClient client;
    std::optional<test::Nginx> nginx;
};

/// The provider's section with another module for the token.
fs::path conf_with_module(const Scene& scene, const std::string& module) {
    auto text = test::read_file(scene.instance.directory / "openssl.cnf");
    const std::string from = scene.module.path();
    const auto at = text.find(from);
    BOOST_REQUIRE(at != std::string::npos);
    const auto path = scene.space.path() / "remote.cnf";
    test::write_file(path, text.replace(at, from.size(), module));
    return path;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_server_whose_token_is_elsewhere_holds_no_key, Scene) {
    const test::RemoteModule remote(space.subdirectory("remote"), instance.directory / "softhsm2.conf");
    serve(conf_with_module(*this, remote.path()));
    for (unsigned epoch = 0; epoch < 4; ++epoch) {
        follow(seconds(3));
        await_rest();
        use_all_workers();
    }
    order({"rotate"});
    follow(seconds(1));
    use_all_workers();
    BOOST_TEST(known().size() >= 5U);
    const auto found = in_memory(all_of(known()));
    BOOST_TEST(found.empty(), lines(found));
    // Nor does a core dump, which is that memory and the registers.
    for (const pid_t pid : processes()) {
        const auto directory = space.subdirectory("core");
        const auto dumped = test::run({"gcore", "-o", directory / "core", std::to_string(pid)});
        BOOST_REQUIRE_MESSAGE(fs::exists(directory / ("core." + std::to_string(pid))), dumped.output);
        const auto in_core = Search(all_of(known())).in_files(directory);
        BOOST_TEST(in_core.empty(), lines(in_core));
    }
    for (const pid_t pid : processes()) {
        const auto start = Search(all_of(known())).in_start(pid);
        BOOST_TEST(start.empty(), lines(start));
    }
    expect_no_line();
}

BOOST_FIXTURE_TEST_CASE(a_server_with_softhsm_in_it_holds_live_steks_alone, Scene) {
    serve(instance.directory / "openssl.cnf");
    for (unsigned epoch = 0; epoch < 5; ++epoch) {
        follow(seconds(3));
        await_rest();
        use_all_workers();
    }
    // SoftHSM is no HSM: the key of now is there to be found. And so the search is known to find.
    const auto stek_of_now = in_memory(all_of(live()));
    BOOST_TEST(!stek_of_now.empty());
    for (const auto& what : stek_of_now)
        BOOST_TEST(what.starts_with("STEK "), what);
    BOOST_TEST(past().size() >= 2U);
    const auto found = in_memory(all_of(past()));
    BOOST_TEST(found.empty(), lines(found));

    const auto before = live();
    order({"rotate", "--revoke-old"});
    follow(seconds(2));  // workers look at the ring each second
    use_all_workers();
    const auto revoked = past();
    BOOST_TEST(revoked.size() > before.size() / 2);
    const auto left = in_memory(all_of(revoked));
    BOOST_TEST(left.empty(), lines(left));
    expect_no_line();
}
