// Orders to rotate and to revoke reach every worker of a running server, with no restart and no failed
// handshake.
#define BOOST_TEST_MODULE tls_orders
#include "tests/fixtures/haproxy.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <set>
#include <thread>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/tls1.h>

namespace stek::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

BOOST_TEST_GLOBAL_FIXTURE(Scene);

constexpr unsigned workers = 2;     // processes; of HAProxy, threads
constexpr auto reach = seconds(2);  // workers look at the ring once a second

/// How a worker looks at the ring does not depend on the version of TLS: one server shows both.
struct Case {
    const char* server;
    int version;
    std::function<std::unique_ptr<Server>(const ServerSetup&)> make;
};
template <class Kind>
std::unique_ptr<Server> make(const ServerSetup& setup) {
    return std::make_unique<Kind>(setup);
}
const std::array<Case, 4> all{{{"nginx", TLS1_2_VERSION, make<Nginx>},
                               {"nginx", TLS1_3_VERSION, make<Nginx>},
                               {"haproxy", TLS1_3_VERSION, make<Haproxy>},
                               {"apache", TLS1_3_VERSION, make<Apache>}}};
std::ostream& operator<<(std::ostream& out, const Case& one) {
    return out << one.server << ' ' << version_name(one.version);
}

// An hour long, so that no rotation comes between.
struct Steady {
    explicit Steady(const Case& one)
        : instance(scene().workspace, {3600, 7200}), server(one.make(setup(one))), version(one.version) {
        server->start();
    }

    ServerSetup setup(const Case& one) {
        auto setup = scene().setup(one.server);
        setup.openssl_conf = instance.openssl_conf();
        return setup;
    }
    [[nodiscard]] ClientTerms terms() const {
        ClientTerms result;
        result.port = server->port();
        result.version = version;
        return result;
    }
    /// Full handshakes until each worker has served some; `seen` gets every one.
    void visit_workers(const std::function<void(const Connection&)>& seen) {
        std::set<std::string> visited;
        for (int i = 0; visited.size() < workers && i < 500; ++i) {
            const Connection connection = connect(terms());
            visited.insert(server->worker(connection));
            seen(connection);
        }
        BOOST_REQUIRE_EQUAL(visited.size(), workers);
    }
    KeyName sealing() {
        const auto ring = instance.ring();
        const auto* record = sealing_record(*ring, std::time(nullptr), 0);
        BOOST_REQUIRE(record != nullptr);
        return record->name;
    }

    Instance instance;
    std::unique_ptr<Server> server;
    int version;
};

bool begins_with(const std::vector<std::uint8_t>& ticket, const KeyName& name) {
    return ticket.size() > name.size() && std::equal(name.begin(), name.end(), ticket.begin());
}

/// Connects all the time, in a thread of its own, and counts what went wrong.
class Visitors {
  public:
    explicit Visitors(const ClientTerms& terms) : thread_([this, terms] { visit(terms); }) {}
    ~Visitors() { stop(); }
    Visitors(const Visitors&) = delete;
    Visitors& operator=(const Visitors&) = delete;
    void stop() {
        stop_ = true;
        if (thread_.joinable())
            thread_.join();
    }
    std::atomic<unsigned> good{0}, failed{0};

  private:
    void visit(ClientTerms terms) {
        TlsClient client(scene().pki);
        while (!stop_) {
            const Connection connection = client.connect(terms);
            ++(connection.ok ? good : failed);
            terms.session = connection.session;
        }
    }
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

BOOST_DATA_TEST_CASE(rotate_reaches_every_worker, all, one) {
    Steady steady(one);
    const auto terms = steady.terms();
    const auto old = steady.sealing();
    const Connection first = connect(terms);
    BOOST_TEST(begins_with(first.ticket, old));
    steady.visit_workers([](const Connection&) {});  // so each has taken the old key
    Visitors visitors(terms);
    steady.instance.order({"rotate"});
    const auto fresh = steady.sealing();
    BOOST_TEST((fresh != old));
    std::this_thread::sleep_for(reach);
    steady.visit_workers([&](const Connection& connection) {
        BOOST_TEST(begins_with(connection.ticket, fresh), "a worker seals with the new key");
    });
    BOOST_TEST(resume(terms, first).reused, "older tickets open as before");
    visitors.stop();
    BOOST_TEST(visitors.failed == 0U);
    BOOST_TEST(visitors.good > 0U);
}

BOOST_DATA_TEST_CASE(revoke_reaches_every_worker, all, one) {
    Steady steady(one);
    const auto terms = steady.terms();
    const Connection first = connect(terms);
    BOOST_TEST(resume(terms, first).reused);
    steady.visit_workers([](const Connection&) {});
    Visitors visitors(terms);
    steady.instance.order({"revoke", "all"});
    const auto fresh = steady.sealing();
    std::this_thread::sleep_for(reach);
    std::set<std::string> asked;
    for (int i = 0; asked.size() < workers && i < 500; ++i) {
        const Connection connection = resume(terms, first);
        BOOST_TEST(!connection.reused, "no worker opens what was revoked");
        BOOST_TEST(begins_with(connection.ticket, fresh));
        asked.insert(steady.server->worker(connection));
    }
    BOOST_TEST(asked.size() == workers);
    visitors.stop();
    BOOST_TEST(visitors.failed == 0U);
    BOOST_TEST(visitors.good > 0U);
}

}  // namespace
}  // namespace stek::test
