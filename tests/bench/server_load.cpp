#include "tests/bench/server_load.hpp"

#include "tests/fixtures/process.hpp"
#include "tests/fixtures/tls_client.hpp"

#include <future>
#include <sstream>
#include <string>

namespace stek::tests {

namespace {

constexpr unsigned at_a_time = 2;

}  // namespace

Load resuming_clients(std::uint16_t port, std::chrono::seconds time) {
    const auto outcome =
        test::run({"wrk", "--threads", "1", "--connections", std::to_string(at_a_time), "--duration",
                   std::to_string(time.count()) + "s", "--script", STEK_COUNT_RESUMED, "--header",
                   "Connection: close", "https://127.0.0.1:" + std::to_string(port) + "/"});
    const auto last_line = outcome.output.rfind('\n', outcome.output.size() - 2);
    std::istringstream counts(outcome.output.substr(last_line == std::string::npos ? 0 : last_line));
    Load load{.connections = 0, .first = at_a_time, .resumed = 0};
    unsigned errors = 0;
    if (outcome.exit_code != 0 || !(counts >> load.connections >> load.resumed >> errors) || errors != 0 ||
        load.connections <= at_a_time) {
        throw std::runtime_error("wrk: " + outcome.output);
    }
    return load;
}

Load forgetful_clients(const test::Pki& pki, std::uint16_t port, int version,
                       std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    const auto client = [&] {
        test::TlsClient tls(pki);
        Load load{};
        while (std::chrono::steady_clock::now() < until) {
            const auto connection = tls.connect({.port = port, .version = version, .session = {}});
            if (!connection.ok) {
                throw std::runtime_error(connection.error);
            }
            ++load.connections;
            ++load.first;
            load.resumed += connection.reused ? 1 : 0;
        }
        return load;
    };
    auto other = std::async(std::launch::async, client);
    Load sum = client();
    const Load more = other.get();
    sum.connections += more.connections;
    sum.first += more.first;
    sum.resumed += more.resumed;
    return sum;
}

}  // namespace stek::tests
