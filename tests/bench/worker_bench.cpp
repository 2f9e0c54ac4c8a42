// The first ticket of a new worker: from the fork of a process that has loaded the provider to a ticket that
// the client has. Aim: at most 15 ms more than with stock tickets, with 21 records. Wall time is what counts,
// and the worker's CPU time is what it would be on a machine with nothing else to do.
#include "provider/ticket_token.hpp"
#include "tests/bench/rounds.hpp"
#include "tests/bench/side.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <ctime>
#include <stdexcept>
#include <unistd.h>

#include <openssl/conf.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr unsigned rounds = 31;
constexpr unsigned records = 21;  ///< an open window of 64800 s, and a few epochs ahead

double nanoseconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double first_ticket(SSL_CTX* client, SSL_CTX* server, clockid_t clock) {
    int ends[2];
    if (pipe(ends) != 0) {
        throw std::runtime_error("no pipe");
    }
    // A process's CPU time begins with it.
    const double begun = clock == CLOCK_MONOTONIC ? nanoseconds_of(clock) : 0;
    const pid_t worker = fork();
    if (worker == 0) {
        const Handshake first = connect(client, server, nullptr, "a.example");
        const double ended = nanoseconds_of(clock);
        _exit(first.done && !first.ticket.empty() && write(ends[1], &ended, sizeof ended) == sizeof ended
                  ? 0
                  : 1);
    }
    close(ends[1]);
    double ended = 0;
    const bool came = read(ends[0], &ended, sizeof ended) == sizeof ended;
    close(ends[0]);
    waitpid(worker, nullptr, 0);
    if (!came) {
        throw std::runtime_error("no ticket in the worker");
    }
    return ended - begun;
}

Side::Answer master(const std::string& conf, int version, clockid_t clock) {
    if (!conf.empty() && CONF_modules_load_file(conf.c_str(), nullptr, 0) != 1) {
        throw std::runtime_error("the provider did not load");
    }
    const auto identity = std::make_shared<Identity>("a.example");
    const std::shared_ptr<SSL_CTX> server = server_ctx(*identity);
    const std::shared_ptr<SSL_CTX> client = client_ctx(version);
    return [=](unsigned count) {
        double sum = 0;
        for (unsigned i = 0; i < count; ++i) {
            sum += first_ticket(client.get(), server.get(), clock);
        }
        return sum / count;
    };
}

/// As in a token that stekd keeps: a pair for each record.
void make_more_pairs(const KnownRing& ring) {
    const auto token = pkcs11::Token::find(pkcs11::Module::initialize(pkcs11::Library::map(softhsm_module)),
                                           pkcs11::TokenUri::parse(SoftHsm::uri(ring.token())));
    pkcs11::Session session(token, pkcs11::Access::read_write);
    for (unsigned i = 1; i < records; ++i) {
        make_ticket_pair(session, false);
    }
}

void compare(const std::string& conf, int version, clockid_t clock) {
    Side stock([&] { return master({}, version, clock); });
    Side ours([&] { return master(conf, version, clock); });
    std::vector<Contender> contenders{{"stock", [&](unsigned n) { return stock.ask(n); }},
                                      {"stek", [&](unsigned n) { return ours.ask(n); }}};
    measure(contenders, rounds, 1);
    const std::string title = std::string("Fork to first ticket, 21 records, TLS 1.") +
                              (version == TLS1_3_VERSION ? "3" : "2") +
                              (clock == CLOCK_MONOTONIC ? ", wall time" : ", CPU time");
    tell_all(title, contenders);
    std::vector<double> more;
    for (unsigned i = 0; i < rounds; ++i) {
        more.push_back((contenders[1].nanoseconds[i] - contenders[0].nanoseconds[i]) / 1e6);
    }
    tell({.title = title,
          .subject = "more than stock (aim: 15 ms)",
          .unit = "ms",
          .figure = spread_of(more),
          .ratio = {},
          .aim = {}});
}

}  // namespace

int main() {
    KnownRing ring;
    for (unsigned i = 0; i < records; ++i) {
        ring.add_current();
    }
    make_more_pairs(ring);
    SoftHsm::finalize();
    const std::string conf = ring.write_conf(ring.section({{"attach", "yes"}}));
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        compare(conf, version, CLOCK_MONOTONIC);
        compare(conf, version, CLOCK_PROCESS_CPUTIME_ID);
    }
    return 0;
}
