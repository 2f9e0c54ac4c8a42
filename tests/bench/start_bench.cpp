// A cold start: from the command that starts nginx, with one worker, to a ticket at a client; wall time. The
// worker that serves it initialises SoftHSM and unwraps its first key for it.
#include "tests/bench/rounds.hpp"
#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/tls_client.hpp"
#include "tests/fixtures/workspace.hpp"

#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

using namespace stek::tests;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

constexpr unsigned rounds = 15;

class ColdNginx : public Nginx {
  public:
    /// Once started, for its configuration, and stopped again.
    explicit ColdNginx(const ServerSetup& setup) : Nginx(setup, {.workers = 1}) {
        start();
        end();
    }
    /// Starts and stops it; in between lies what is measured, in nanoseconds.
    double start_to_first_ticket(TlsClient& client, int version) {
        const auto begun = std::chrono::steady_clock::now();
        const Process starter(command(), environment(), file("output.log"));
        while (client.connect({.port = port(), .version = version, .session = {}}).ticket.empty()) {
            if (std::chrono::steady_clock::now() - begun > 20s) {
                throw std::runtime_error("no ticket after 20 s: " + log());
            }
            std::this_thread::sleep_for(100us);
        }
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
        end();
        return took.count();
    }

  private:
    void end() {
        stop();
        // Or the next one would find its port taken.
        if (!eventually([&] { return !connect_to(port()); })) {
            throw std::runtime_error("nginx does not end: " + log());
        }
    }
};

}  // namespace

int main() {
    std::signal(SIGPIPE, SIG_IGN);
    Workspace workspace("start-bench");
    Pki pki(workspace.subdirectory("pki"));
    const Identity identity = pki.server("www", {"www.stek.test"});
    const Instance instance(workspace, {3600, 7200});
    ColdNginx stock({workspace.subdirectory("stock"), {}, identity, pki.authority()});
    ColdNginx stek({workspace.subdirectory("stek"), instance.openssl_conf(), identity, pki.authority()});
    TlsClient client(pki);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const auto starting = [&](ColdNginx& nginx) {
            return [&, version](unsigned) { return nginx.start_to_first_ticket(client, version); };
        };
        std::vector<Contender> contenders{{"stock", starting(stock)}, {"stek", starting(stek)}};
        measure(contenders, rounds, 1);
        tell_all(std::string("nginx started to first ticket, wall time, TLS 1.") +
                     (version == TLS1_3_VERSION ? "3" : "2"),
                 contenders);
    }
    return 0;
}
