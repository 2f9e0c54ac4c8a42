// What a fleet's parties do each hour: an origin seals the hourly key to 1,000 vaults (aim: 300 ms), a
// location wraps its key to 1,000 machines (aim: 250 ms). By CPU time; the engine is in memory, for a disk
// would be measured else.
#include "daemon/fleet/bundle_mint.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "provider/ticket_token.hpp"
#include "tests/bench/results.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/softhsm.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/unit/memory_engine.hpp"

#include <functional>
#include <stdexcept>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

constexpr unsigned many = 1000, rounds = 11;
constexpr std::uint64_t start = 500000;
const daemon::Policy hours{scene_period, 7200};

double milliseconds_of(const std::function<void()>& work) {
    const auto now = [] {
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
    };
    const double begun = now();
    work();
    return now() - begun;
}

void tell_as(const char* title, const std::string& subject, const std::vector<double>& figures,
             const std::vector<double>& yardstick = {}) {
    tell({.title = title,
          .subject = subject,
          .unit = "ms",
          .figure = spread_of(figures),
          .ratio = ratio_of(figures, yardstick),
          .aim = {}});
}

// --- an origin ---

struct FreeKey {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};

/// The yardstick: as many pairs made and agreements come to, by OpenSSL alone.
void agree_many_times(EVP_PKEY* peer) {
    for (unsigned i = 0; i < many; ++i) {
        const std::unique_ptr<EVP_PKEY, FreeKey> own(EVP_EC_gen("P-256"));
        const std::unique_ptr<EVP_PKEY_CTX, FreeKey> context(EVP_PKEY_CTX_new(own.get(), nullptr));
        unsigned char secret[32];
        std::size_t size = sizeof secret;
        if (EVP_PKEY_derive_init(context.get()) != 1 || EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
            EVP_PKEY_derive(context.get(), secret, &size) != 1)
            throw std::runtime_error("no agreement");
    }
}

void measure_an_origin() {
    test::Trap trap;
    test::MemoryEngine engine(trap);
    LocationScene scene(engine);
    const auto& origin = scene.add_origin("origin-1");
    std::vector<Recipient> recipients;
    for (unsigned i = 1; i <= many; ++i)
        recipients.push_back({i, static_cast<std::uint32_t>(start), memory_key().point});
    const auto peer = memory_key();
    const auto fill = [](std::span<std::uint8_t> out) {
        if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1)
            throw std::runtime_error("no random bytes");
    };
    std::vector<double> yardstick, minting;
    for (unsigned round = 0; round < rounds; ++round) {
        yardstick.push_back(milliseconds_of([&] { agree_many_times(peer.key.get()); }));
        minting.push_back(milliseconds_of([&] {
            (void)mint({start, round}, {}, recipients, origin.self, origin.entry.number, hours, fill);
        }));
    }
    constexpr auto title = "a bundle for 1,000 vaults, all keys in memory";
    tell_as(title, "1,000 agreements by OpenSSL", yardstick);
    tell_as(title, "the bundle (aim: 300 ms)", minting, yardstick);
}

// --- a location ---

struct Vault {
    static pkcs11::Session open(const TestToken& made) {
        return log_in(find_token(SoftHsm::uri(made)), "file:" + made.pin_file.string());
    }
    [[nodiscard]] daemon::Config config() const {
        daemon::Config config;
        config.vault = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(made));
        config.module_config = softhsm.conf().string();
        config.provider = STEK_MODULE;
        return config;
    }
    Vault() {
        auto key = known_chain_key(std::vector<std::uint8_t>(32, 0xC0), {start, start});
        session.create(key);
    }
    SoftHsm softhsm;
    TestToken made = softhsm.make_token("vault");
    pkcs11::Session session = open(made);
    TokenKeys keys{session};
    daemon::Deriver deriver{config()};
    LocationVault work{session, keys, deriver};
};

/// The yardstick: what the token does for it at least, a wrap and a signature each.
void wrap_and_sign_many_times(Vault& vault, const Identity& self) {
    const auto spki = LocationScene::some_spki();
    const std::vector<Bytes> spkis(many, Bytes(spki));
    HourlyKey hourly;
    WrappedSteks steks;
    vault.work.derive({start, 9999}, hourly, spkis, OaepHash::sha1, steks);
    const std::vector<std::uint8_t> body(700);
    for (unsigned i = 0; i < many; ++i)
        (void)self.sign(Kind::record, 1, body);
}

void measure_a_location() {
    Vault vault;
    test::Trap trap;
    test::MemoryEngine engine(trap);
    test::Workspace workspace("fleet-bench");
    LocationScene scene(engine);
    auto& origin = scene.add_origin("origin-1");
    auto& party = scene.add_vault("vault-1");
    party.self.signing = vault.keys.make(Use::signing);
    party.self.sealing = vault.keys.make(Use::sealing);
    party.entry.signing_key = party.self.signing.point;
    party.entry.sealing_key = party.self.sealing->point;
    std::vector<SceneParty*> machines;
    for (unsigned i = 1; i <= many; ++i)
        machines.push_back(&scene.add_machine("web-" + std::to_string(i)));
    scene.publish_lists();
    for (unsigned i = 0; i < many; ++i)
        scene.offer(*machines[i], start, static_cast<std::uint8_t>(1 + i % 200));
    KnownLists lists{workspace.subdirectory("state"), scene.root().point, scene_location};
    Location location{party.self, lists, engine, vault.work, {}, [](const LocationMemory&) {}};
    const auto run = [&] {
        location.run({static_cast<std::int64_t>(start * scene_period) + 60, 1000}, hours);
    };
    run();
    std::vector<double> yardstick, wrapping;
    for (unsigned revision = 0; revision < rounds; ++revision) {
        scene.mint_to_engine(origin, {start, revision});
        yardstick.push_back(milliseconds_of([&] { wrap_and_sign_many_times(vault, party.self); }));
        wrapping.push_back(milliseconds_of(run));
        if (!engine.get(scene.bucket(), record_key("web-1000", {start, revision})))
            throw std::runtime_error("a machine has no record");
    }
    constexpr auto title = "a key wrapped to 1,000 machines, vault on SoftHSM";
    tell_as(title, "1,000 wraps and signatures", yardstick);
    tell_as(title, "the records (aim: 250 ms)", wrapping, yardstick);
}

}  // namespace

int main() {
    measure_an_origin();
    measure_a_location();
    return 0;
}
