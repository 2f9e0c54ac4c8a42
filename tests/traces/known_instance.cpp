#include "tests/traces/known_instance.hpp"

#include "tests/fixtures/child.hpp"
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <thread>

namespace stek::traces {
namespace {

constexpr std::uint64_t seed = 20;
constexpr unsigned period = 3;

Key drawn(std::uint64_t draw) {
    Key key;
    tests::known_random_bytes(seed, draw, key);
    return key;
}

}  // namespace

void in_vault(const test::StekdInstance& instance, const std::function<void(pkcs11::Session&)>& act) {
    const int status = tests::in_child([&] {
        ::setenv("SOFTHSM2_CONF", (instance.directory / "softhsm2.conf").c_str(), 1);
        try {
            const auto vault = tests::find_token("pkcs11:token=stekd-vault?module-path=" +
                                                 std::string(tests::softhsm_module));
            auto session = tests::log_in(vault, "file:" + (instance.directory / "pins/vault.pin").string());
            act(session);
            return 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            return 1;
        }
    });
    if (status != 0)
        throw std::runtime_error("the vault could not be used");
}

std::string KnownInstance::Id::text() const {
    return std::to_string(epoch) + "." + std::to_string(revision);
}

KnownInstance::KnownInstance()
    : space("known"),
      module(space.path()),
      instance(period, 2 * period, {"--module", module.path(), "--reader", "www-data"}) {
    module.known_random(seed);
    // As random as the other, and never drawn.
    first_chain_ = drawn(~std::uint64_t{0});
    plant_chain_key();
}

void KnownInstance::plant_chain_key() {
    first_epoch_ = static_cast<std::uint64_t>(std::time(nullptr)) / period;
    in_vault(instance, [&](pkcs11::Session& session) {
        auto key = tests::known_chain_key(first_chain_, {1, first_epoch_});
        session.create(key);
    });
}

std::shared_ptr<const KeyRing> KnownInstance::learn() {
    auto ring = instance.ring();
    if (ring == nullptr)
        throw std::runtime_error("no key ring: " + instance.log());
    for (const auto& record : ring->records) {
        const Id id{record->epoch, record->revision};
        if (known_.contains(id))
            continue;
        Key chain = first_chain_;
        for (std::uint64_t epoch = first_epoch_; epoch <= record->epoch + 1; ++epoch) {
            for (std::uint64_t draw = 0; draw < module.random_draws() && !known_.contains(id); ++draw) {
                const Derivation candidate = derive(chain, record->revision, drawn(draw));
                if (candidate.name == record->name)
                    known_.emplace(id, candidate);
            }
            chain = next_chain_key(chain);
        }
        if (!known_.contains(id))
            throw std::runtime_error("key " + id.text() + " is not from the known chain and hourly keys");
    }
    return ring;
}

void KnownInstance::follow(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    do {
        learn();
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    } while (std::chrono::steady_clock::now() < end);
}

std::map<KnownInstance::Id, Derivation> KnownInstance::live() {
    const auto ring = learn();
    std::map<Id, Derivation> keys;
    for (const auto& record : ring->records) {
        const Id id{record->epoch, record->revision};
        keys.emplace(id, known_.at(id));
    }
    return keys;
}

std::map<KnownInstance::Id, Derivation> KnownInstance::past() {
    const auto now = live();
    auto keys = known_;
    for (const auto& [id, derivation] : now)
        keys.erase(id);
    return keys;
}

void KnownInstance::await_rest() {
    const bool rests = test::eventually(
        [&] {
            const auto ring = learn();
            const auto now = static_cast<std::uint64_t>(std::time(nullptr));
            const auto has = [&](std::uint64_t epoch) {
                return std::any_of(ring->records.begin(), ring->records.end(),
                                   [&](const auto& record) { return record->epoch == epoch; });
            };
            // A second after the edge.
            return now % period == 1 && has(now / period) && has(now / period + 1);
        },
        std::chrono::seconds(60));
    if (!rests)
        throw std::runtime_error("stekd does not come to rest: " + instance.log());
}

void KnownInstance::order(test::Arguments arguments) const {
    arguments.insert(arguments.begin(), STEK_STEKCTL);
    arguments.insert(arguments.end(), {"--config", instance.config()});
    const auto outcome = test::run(arguments);
    if (outcome.exit_code != 0)
        throw std::runtime_error("stekctl: " + outcome.output);
}

}  // namespace stek::traces
