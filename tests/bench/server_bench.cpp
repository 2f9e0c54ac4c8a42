// What a connection costs a stock server, with the provider and without: CPU time of its workers, by turns.
// Aim: per resumed connection at most 1.05 of stock with TLS 1.3, 1.08 with TLS 1.2.
//
// Both run side by side with the same P-256 certificate and the same configuration but for OPENSSL_CONF:
// tickets, which either side renews with each TLS 1.3 connection and not with TLS 1.2, and no session cache
// in nginx. stekd keeps the provider's ring; its CPU time is not in this.
#include "tests/bench/results.hpp"
#include "tests/bench/server_load.hpp"
#include "tests/fixtures/haproxy.hpp"
#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/tls_client.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

using namespace stek;
using namespace stek::tests;
using namespace std::chrono_literals;
using test::Haproxy;
using test::Nginx;

namespace {

constexpr unsigned rounds = 15;
constexpr double least_resumed = 0.99;        // of the connections with a ticket, or it was no measurement
constexpr unsigned wanted_connections = 400;  // a turn

double cpu_microseconds(const std::vector<pid_t>& processes) {
    double sum = 0;
    for (const pid_t process : processes) {
        clockid_t clock{};
        timespec used{};
        if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) != 0) {
            throw std::runtime_error("a worker is gone");
        }
        sum += static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) / 1e3;
    }
    return sum;
}

/// A server and how to find its workers.
struct Running {
    std::unique_ptr<test::Server> server;
    std::function<std::vector<pid_t>()> workers;
};

Running start_nginx(const test::ServerSetup& setup, int version, unsigned workers) {
    auto nginx = std::make_unique<Nginx>(
        setup, test::NginxOptions{.workers = workers,
                                  .protocols = version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"});
    nginx->start();
    const Nginx* of = nginx.get();
    return {std::move(nginx), [of] { return of->workers(); }};
}

Running start_haproxy(const test::ServerSetup& setup, int version) {
    auto haproxy = std::make_unique<Haproxy>(
        setup, test::HaproxyOptions{.only_version = version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"});
    haproxy->start();
    const Haproxy* of = haproxy.get();
    return {std::move(haproxy), [of] { return of->workers(); }};
}

struct Kind {
    std::string name;
    std::function<Running(const test::ServerSetup&, int version)> start;
};

const Kind kinds[] = {
    {"nginx, 1 worker", [](const auto& setup, int version) { return start_nginx(setup, version, 1); }},
    {"nginx, 2 workers", [](const auto& setup, int version) { return start_nginx(setup, version, 2); }},
    {"HAProxy, 2 threads", start_haproxy},
};

class Bench {
  public:
    Bench()
        : pki_(workspace_.subdirectory("pki")),
          identity_(pki_.server("www", {"www.stek.test"})),
          instance_(workspace_, {3600, 7200}) {}

    void compare(const Kind& kind, int version) {
        const Running stock = kind.start(setup({}), version);
        const Running stek = kind.start(setup(instance_.openssl_conf()), version);
        for (const bool resumed : {false, true}) {
            compare(kind, version, resumed, stock, stek);
        }
    }

  private:
    test::ServerSetup setup(const std::filesystem::path& openssl_conf) {
        return {workspace_.subdirectory("server"), openssl_conf, identity_, pki_.authority()};
    }

    Load load(const Running& running, int version, bool resumed) {
        const std::uint16_t port = running.server->port();
        const Load load =
            resumed ? resuming_clients(port, seconds_) : forgetful_clients(pki_, port, version, 500ms);
        const unsigned able = load.connections - load.first;
        if (load.resumed < least_resumed * able || load.resumed > able) {
            throw std::runtime_error("resumed: " + std::to_string(load.resumed) + " of " +
                                     std::to_string(able));
        }
        return load;
    }

    double microseconds_per_connection(const Running& running, int version, bool resumed) {
        const auto workers = running.workers();
        const double before = cpu_microseconds(workers);
        const Load done = load(running, version, resumed);
        return (cpu_microseconds(workers) - before) / done.connections;
    }

    /// Warms both up, and has turns last long enough, on a busy machine too, for the first full handshakes of
    /// each not to count.
    void prepare(const Running& stock, const Running& stek, int version, bool resumed) {
        seconds_ = 1s;
        const Load slower =
            std::min(load(stock, version, resumed), load(stek, version, resumed),
                     [](const Load& a, const Load& b) { return a.connections < b.connections; });
        seconds_ = std::chrono::seconds(1 + wanted_connections / slower.connections);
    }

    void compare(const Kind& kind, int version, bool resumed, const Running& stock, const Running& stek) {
        std::vector<double> of_stock;
        std::vector<double> of_stek;
        std::vector<double> ratios;
        prepare(stock, stek, version, resumed);
        for (unsigned round = 0; round < rounds; ++round) {
            for (const bool provider : {round % 2 == 0, round % 2 != 0}) {
                (provider ? of_stek : of_stock)
                    .push_back(microseconds_per_connection(provider ? stek : stock, version, resumed));
            }
            ratios.push_back(of_stek.back() / of_stock.back());
        }
        const bool tls13 = version == TLS1_3_VERSION;
        Result result{.title = std::string("CPU time of a server per connection, TLS 1.") +
                               (tls13 ? "3" : "2") + (resumed ? ", resumed" : ", full handshake"),
                      .subject = kind.name + ", stock",
                      .unit = "us",
                      .figure = spread_of(of_stock),
                      .ratio = {},
                      .aim = {}};
        tell(result);
        result.subject = kind.name + ", stek";
        result.figure = spread_of(of_stek);
        result.ratio = spread_of(ratios);
        if (resumed) {
            result.aim = tls13 ? 1.05 : 1.08;
        }
        tell(result);
    }

    test::Workspace workspace_{"server-bench"};
    test::Pki pki_;
    test::Identity identity_;
    test::Instance instance_;
    std::chrono::seconds seconds_{1};  ///< of a turn with wrk
};

}  // namespace

/// With an argument, only the servers whose name begins so.
int main(int count, char** arguments) {
    const std::string wanted = count > 1 ? arguments[1] : "";
    std::signal(SIGPIPE, SIG_IGN);  // a server may close while a client writes
    Bench bench;
    for (const auto& kind : kinds) {
        if (!kind.name.starts_with(wanted)) {
            continue;
        }
        for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
            bench.compare(kind, version);
        }
    }
    return 0;
}
