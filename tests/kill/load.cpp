#include "tests/kill/load.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace stek::test {
namespace {

std::optional<KeyName> key_of(const std::vector<std::uint8_t>& ticket) {
    KeyName name{};
    if (ticket.size() < name.size())
        return std::nullopt;
    std::copy_n(ticket.begin(), name.size(), name.begin());
    return name;
}

/// One client of one version.
class Client {
  public:
    Client(TlsClient& tls, std::uint16_t port, int version) : tls_(&tls) {
        terms_.port = port;
        terms_.version = version;
    }

    Handshake connect() {
        Handshake handshake;
        handshake.offered = offered_;
        handshake.wall = std::time(nullptr);
        handshake.begun = Clock::now();
        Connection connection = tls_->connect(terms_);
        handshake.ended = Clock::now();
        handshake.ok = connection.ok;
        handshake.resumed = connection.reused;
        handshake.local_port = connection.local_port;
        handshake.error = std::move(connection.error);
        handshake.worker = std::atoi(connection.header("X-Pid").c_str());
        if (connection.ok && !connection.ticket.empty()) {
            offered_ = key_of(connection.ticket);
            terms_.session = std::move(connection.session);
        }
        return handshake;
    }

  private:
    TlsClient* tls_;
    ClientTerms terms_;
    std::optional<KeyName> offered_;
};

}  // namespace

Load::Load(const Pki& pki, std::uint16_t port, unsigned threads, std::chrono::milliseconds rest)
    : rest_(rest) {
    for (unsigned i = 0; i < threads; ++i)
        threads_.emplace_back([this, &pki, port](const std::stop_token& stop) { work(stop, pki, port); });
}

Load::~Load() = default;

void Load::work(const std::stop_token& stop, const Pki& pki, std::uint16_t port) {
    TlsClient tls(pki);
    std::array clients{Client(tls, port, TLS1_2_VERSION), Client(tls, port, TLS1_3_VERSION)};
    while (!stop.stop_requested()) {
        for (auto& client : clients) {
            Handshake handshake = client.connect();
            const bool refused = handshake.local_port == 0;
            {
                const std::lock_guard lock(mutex_);
                done_.push_back(std::move(handshake));
            }
            if (refused)  // nobody listens: no use in asking a thousand times a second
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        if (rest_.count() > 0)
            std::this_thread::sleep_for(rest_);
    }
}

std::vector<Handshake> Load::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(done_, {});
}

}  // namespace stek::test
