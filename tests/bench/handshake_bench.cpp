// Whole resumed handshakes in memory, client and server in one process, with the provider and as stock.
// CPU time, for information: most of it is neither ours nor the server's.
#include "tests/bench/rounds.hpp"
#include "tests/bench/side.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <stdexcept>

#include <openssl/conf.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr unsigned rounds = 11;
constexpr unsigned per_round = 500;

void resume_in_a_row(SSL_CTX* client, SSL_CTX* server, Session& session, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        Handshake next = connect(client, server, session.get(), "a.example");
        if (!next.done || (session && !next.resumed) || next.ticket.empty()) {
            throw std::runtime_error("a handshake was not resumed: " + next.error);
        }
        session = std::move(next.session);
    }
}

Side::Answer process(const std::string& conf, int version) {
    if (!conf.empty() && CONF_modules_load_file(conf.c_str(), nullptr, 0) != 1) {
        throw std::runtime_error("the provider did not load");
    }
    const auto identity = std::make_shared<Identity>("a.example");
    const std::shared_ptr<SSL_CTX> server = server_ctx(*identity);
    const std::shared_ptr<SSL_CTX> client = client_ctx(version);
    const auto session = std::make_shared<Session>();
    resume_in_a_row(client.get(), server.get(), *session, 1);
    return by_cpu_time([=](unsigned count) {
        static_cast<void>(identity);
        resume_in_a_row(client.get(), server.get(), *session, count);
    });
}

}  // namespace

int main() {
    KnownRing ring;
    ring.add_current();
    const std::string conf = ring.write_conf(ring.section({{"attach", "yes"}}));
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        Side stock([&] { return process({}, version); });
        Side ours([&] { return process(conf, version); });
        std::vector<Contender> contenders{{"stock", [&](unsigned n) { return stock.ask(n); }},
                                          {"stek", [&](unsigned n) { return ours.ask(n); }}};
        measure(contenders, rounds, per_round);
        tell_all(std::string("Resumed handshake in memory, both ends, CPU time, TLS 1.") +
                     (version == TLS1_3_VERSION ? "3" : "2"),
                 contenders);
    }
    return 0;
}
