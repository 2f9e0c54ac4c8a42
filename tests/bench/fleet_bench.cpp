// What a fleet's parties do each hour: an origin seals the hourly key to 1,000 vaults (aim: 300 ms), a
// location wraps its key to 1,000 machines (aim: 250 ms). By CPU time, and the second, which two threads do,
// by the clock as well; the engine is in memory, for a disk would be measured else. And what a stekd of such
// a location holds in memory (aim: 16 MB), as a process of its own on an engine that is a directory.
#include "daemon/fleet/bundle_mint.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "daemon/fleet/root_key.hpp"
#include "provider/ticket_token.hpp"
#include "tests/bench/results.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/process.hpp"
#include "tests/fixtures/softhsm.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/unit/memory_engine.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <thread>

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

double milliseconds_of(const std::function<void()>& work, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
    const auto now = [clock] {
        timespec time{};
        clock_gettime(clock, &time);
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
    explicit Vault(std::uint64_t epoch = start) {
        auto key = known_chain_key(std::vector<std::uint8_t>(32, 0xC0), {epoch, epoch});
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

/// The vault with its keys in the token, and so many machines, each with a pair on offer for each of so many
/// epochs.
SceneParty& add_parties(LocationScene& scene, Vault& vault, unsigned machines, std::uint64_t epoch,
                        std::uint64_t epochs) {
    auto& party = scene.add_vault("vault-1");
    party.self.signing = vault.keys.make(Use::signing);
    party.self.sealing = vault.keys.make(Use::sealing);
    party.entry.signing_key = party.self.signing.point;
    party.entry.sealing_key = party.self.sealing->point;
    std::vector<SceneParty*> made;
    for (unsigned i = 1; i <= machines; ++i)
        made.push_back(&scene.add_machine("web-" + std::to_string(i)));
    scene.publish_lists();
    for (auto of = epoch; of < epoch + epochs; ++of)
        for (unsigned i = 0; i < machines; ++i)
            scene.offer(*made[i], of, static_cast<std::uint8_t>(1 + i % 200));
    return party;
}

void measure_a_location() {
    Vault vault;
    test::Trap trap;
    test::MemoryEngine engine(trap);
    test::Workspace workspace("fleet-bench");
    LocationScene scene(engine);
    auto& origin = scene.add_origin("origin-1");
    auto& party = add_parties(scene, vault, many, start, 1);
    KnownLists lists{workspace.subdirectory("state"), scene.root().point, scene_location};
    Location location{party.self, lists, engine, vault.work, {}, [](const LocationMemory&) {}};
    const auto run = [&] {
        location.run({static_cast<std::int64_t>(start * scene_period) + 60, 1000}, hours);
    };
    run();
    std::vector<double> yardstick, elapsed, of_the_thread, of_all;
    for (unsigned revision = 0; revision < rounds; ++revision) {
        scene.mint_to_engine(origin, {start, revision});
        yardstick.push_back(milliseconds_of([&] { wrap_and_sign_many_times(vault, party.self); }));
        elapsed.push_back(milliseconds_of(
            [&] {
                of_all.push_back(milliseconds_of([&] { of_the_thread.push_back(milliseconds_of(run)); },
                                                 CLOCK_PROCESS_CPUTIME_ID));
            },
            CLOCK_MONOTONIC));
        if (!engine.get(scene.bucket(), record_key("web-1000", {start, revision})))
            throw std::runtime_error("a machine has no record");
    }
    constexpr auto title = "a key wrapped to 1,000 machines, vault on SoftHSM";
    tell_as(title, "1,000 wraps and signatures", yardstick);
    tell_as(title, "the records, by the clock (aim: 250 ms)", elapsed, yardstick);
    tell_as(title, "CPU of the vault's thread", of_the_thread, yardstick);
    tell_as(title, "CPU of it and the one that seals", of_all, yardstick);
}

// --- its process ---

/// "VmRSS", in MB (2^20 bytes).
double memory_of(pid_t process, const std::string& what) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(what + ":"))
            return std::stod(line.substr(what.size() + 1)) / 1024;
    throw std::runtime_error("no " + what + " of process " + std::to_string(process));
}

std::string write_config(const test::Workspace& workspace, const Vault& vault) {
    const auto in = [&](const char* name) { return (workspace.path() / name).string(); };
    test::write_file(in("stekd.toml"),
                     "period = " + std::to_string(scene_period) +
                         "\nsession_timeout = 7200\n[engine]\ndirectory = \"" + in("engine") +
                         "\"\nroot = \"" + in("root.pem") + "\"\n[location]\nname = \"" + scene_location +
                         "\"\nvault = \"vault-1\"\nuri = \"" + SoftHsm::uri_with_pin(vault.made) +
                         "\"\n[paths]\nmodule_config = \"" + vault.softhsm.conf().string() +
                         "\"\nprovider = \"" STEK_MODULE "\"\nstate = \"" + in("state") + "\"\n");
    return in("stekd.toml");
}

/// Resident, and the most that was, once the last machine has its record of the last key.
std::pair<double, double> resident_with(unsigned machines) {
    const auto now = static_cast<std::uint64_t>(std::time(nullptr)) / scene_period;
    test::Workspace workspace("fleet-memory");
    for (const char* directory : {"engine", "state"})
        std::filesystem::create_directory(workspace.path() / directory);
    const auto engine = make_directory_engine(workspace.path() / "engine");
    LocationScene scene(*engine);
    const auto& origin = scene.add_origin("origin-1");
    Vault vault(now);
    constexpr std::uint64_t ahead = 3;
    (void)add_parties(scene, vault, machines, now, ahead + 1);
    for (auto epoch = now; epoch <= now + ahead; ++epoch)
        scene.mint_to_engine(origin, {epoch, 0});
    write_root_key((workspace.path() / "root.pem").string(), scene.root().point);
    const test::Process stekd({STEK_STEKD, "--config", write_config(workspace, vault)}, {},
                              workspace.path() / "log");
    const auto last = record_key("web-" + std::to_string(machines), {now + ahead, 0});
    if (!test::eventually([&] { return engine->get(scene.bucket(), last).has_value(); },
                          std::chrono::minutes(2)))
        throw std::runtime_error("no record: " + test::read_file(workspace.path() / "log"));
    std::this_thread::sleep_for(std::chrono::seconds(1));  // the run ends
    return {memory_of(stekd.pid(), "VmRSS"), memory_of(stekd.pid(), "VmHWM")};
}

void measure_its_memory() {
    constexpr unsigned turns = 3;
    for (const unsigned machines : {1U, many}) {
        std::vector<double> resident, most;
        for (unsigned turn = 0; turn < turns; ++turn) {
            const auto [now, peak] = resident_with(machines);
            resident.push_back(now);
            most.push_back(peak);
        }
        const auto title = "stekd of a location, its records for four epochs made";
        const auto whose = std::to_string(machines) + (machines == 1 ? " machine" : " machines (aim: 16 MB)");
        for (const auto& [what, figures] :
             {std::pair("resident, ", &resident), std::pair("at most, ", &most)})
            tell({.title = title,
                  .subject = what + whose,
                  .unit = "MB",
                  .figure = spread_of(*figures),
                  .ratio = {},
                  .aim = {}});
    }
}

}  // namespace

/// `fleet_bench [PART...]`: all without any.
int main(int count, char** arguments) {
    const std::vector<std::string> wanted(arguments + 1, arguments + count);
    const std::pair<const char*, void (*)()> parts[] = {
        {"origin", measure_an_origin}, {"location", measure_a_location}, {"memory", measure_its_memory}};
    for (const auto& [name, measure] : parts)
        if (wanted.empty() || std::ranges::find(wanted, name) != wanted.end())
            measure();
    return 0;
}
