#include "tests/attack/scene.hpp"

#include "daemon/access.hpp"
#include "provider/audience.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <unistd.h>

#include <openssl/conf.h>

namespace fs = std::filesystem;

namespace stek::attack {

Target::Target() {
    if (::geteuid() != 0)
        throw std::runtime_error("the attack suite must begin as root, to become a server's user");
    start();
    // Two records: a key that seals, and the next one, so that no edge of an epoch falls into the test.
    const bool ready = test::eventually(
        [&] { return fs::exists(ring_file()) && ring()->records.size() >= 2; }, std::chrono::seconds(90));
    if (!ready || !says("ready"))
        throw std::runtime_error("stekd made no ring: " + log());
}

fs::path Target::ticket_directory() const {
    return daemon::softhsm_token_directory(directory / "softhsm2.conf", ring()->token_serial);
}

std::map<std::string, std::string> Target::section_for(const test::StekdInstance& instance) {
    return {{"module", STEK_MODULE},
            {"activate", "1"},
            {"token", "pkcs11:token=stekd-ticket?module-path=" + std::string(tests::softhsm_module)},
            {"module-config", instance.directory / "softhsm2.conf"},
            {"keyring", instance.ring_file()},
            {"attach", "yes"},
            {"audience", "only:attack"}};
}

Audience Target::audience() {
    Settings settings;
    settings.audience = "attack";
    settings.audience_replaces = true;
    return audience_of(nullptr, settings, "").value();
}

std::vector<std::uint8_t> Target::real_ticket() const {
    const auto conf = space.path() / "server.cnf", out = space.path() / "ticket";
    test::write_file(conf, tests::provider_conf(section()));
    tests::in_child([&] {
        if (CONF_modules_load_file(conf.c_str(), nullptr, 0) != 1)
            return 1;
        const tests::Identity identity("www.stek.test");
        const auto client = tests::client_ctx(TLS1_3_VERSION), server = tests::server_ctx(identity);
        const auto ticket = tests::connect(client.get(), server.get()).ticket;
        test::write_file(out, {reinterpret_cast<const char*>(ticket.data()), ticket.size()});
        return 0;
    });
    const auto text = test::read_file(out);
    if (text.empty())
        throw std::runtime_error("no ticket came");
    return {text.begin(), text.end()};
}

std::vector<std::uint8_t> Target::stek_of(const std::vector<std::uint8_t>& ticket) const {
    const auto now = ring();
    const RingRecord* record = test::record_of(*now, ticket);
    if (record == nullptr)
        throw std::runtime_error("the ticket is of no key in the ring");
    const Key key = private_half_in(ticket_directory(), record->pair);
    return key ? unwrapped_outside(key, *record) : std::vector<std::uint8_t>{};
}

std::map<std::string, std::string> Target::files() const {
    std::map<std::string, std::string> all{{"ring", test::read_file(ring_file())}};
    for (const auto& file : fs::directory_iterator(ticket_directory()))
        all[file.path().filename()] = test::read_file(file.path());
    return all;
}

test::Outcome Target::control(test::Arguments arguments) const {
    arguments.insert(arguments.begin(), STEK_STEKCTL);
    arguments.insert(arguments.end(), {"--config", config()});
    return test::run(arguments);
}

}  // namespace stek::attack
