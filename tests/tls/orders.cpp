// Orders to rotate and to revoke reach every worker of a running nginx, with no restart and no failed
// handshake.
#define BOOST_TEST_MODULE tls_orders
#include "tests/fixtures/nginx.hpp"
#include "tests/tls/common_cases.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

BOOST_TEST_GLOBAL_FIXTURE(Scene);

constexpr unsigned workers = 2;
constexpr auto reach = seconds(2);  // workers look at the ring once a second

// An hour long, so that no rotation comes between.
struct Steady {
    Steady() : instance(scene().workspace, {3600, 7200}), nginx(setup()) { nginx.start(); }

    ServerSetup setup() {
        auto setup = scene().setup("nginx");
        setup.openssl_conf = instance.openssl_conf();
        return setup;
    }
    [[nodiscard]] ClientTerms terms(int version) const {
        ClientTerms result;
        result.port = nginx.port();
        result.version = version;
        return result;
    }
    /// Full handshakes until each worker has served some; `seen` gets every one.
    void visit_workers(int version, const std::function<void(const Connection&)>& seen) {
        std::set<std::string> visited;
        for (int i = 0; visited.size() < workers && i < 500; ++i) {
            const Connection connection = connect(terms(version));
            visited.insert(nginx.worker(connection));
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
    Nginx nginx;
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

BOOST_DATA_TEST_CASE(rotate_reaches_every_worker, versions, version) {
    Steady steady;
    const auto terms = steady.terms(version);
    const auto old = steady.sealing();
    const Connection first = connect(terms);
    BOOST_TEST(begins_with(first.ticket, old));
    steady.visit_workers(version, [](const Connection&) {});  // so each has taken the old key
    Visitors visitors(terms);
    steady.instance.order({"rotate"});
    const auto fresh = steady.sealing();
    BOOST_TEST((fresh != old));
    std::this_thread::sleep_for(reach);
    steady.visit_workers(version, [&](const Connection& connection) {
        BOOST_TEST(begins_with(connection.ticket, fresh), "a worker seals with the new key");
    });
    BOOST_TEST(resume(terms, first).reused, "older tickets open as before");
    visitors.stop();
    BOOST_TEST(visitors.failed == 0U);
    BOOST_TEST(visitors.good > 0U);
}

BOOST_DATA_TEST_CASE(revoke_reaches_every_worker, versions, version) {
    Steady steady;
    const auto terms = steady.terms(version);
    const Connection first = connect(terms);
    BOOST_TEST(resume(terms, first).reused);
    steady.visit_workers(version, [](const Connection&) {});
    Visitors visitors(terms);
    steady.instance.order({"revoke", "all"});
    const auto fresh = steady.sealing();
    std::this_thread::sleep_for(reach);
    std::set<std::string> asked;
    for (int i = 0; asked.size() < workers && i < 500; ++i) {
        const Connection connection = resume(terms, first);
        BOOST_TEST(!connection.reused, "no worker opens what was revoked");
        BOOST_TEST(begins_with(connection.ticket, fresh));
        asked.insert(steady.nginx.worker(connection));
    }
    BOOST_TEST(asked.size() == workers);
    visitors.stop();
    BOOST_TEST(visitors.failed == 0U);
    BOOST_TEST(visitors.good > 0U);
}

}  // namespace
}  // namespace stek::test
