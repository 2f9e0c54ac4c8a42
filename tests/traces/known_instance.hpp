// A stekd whose keys the test knows: a chain key put into its vault, hourly keys of a known generator.
#pragma once

#include "pkcs11/session.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/token/stekd_instance.hpp"
#include "tests/traces/known_schedule.hpp"

#include <compare>
#include <functional>
#include <map>

namespace stek::traces {

class KnownInstance {
  public:
    /// Epochs of 3 s whose keys open for 6 s more; servers run as www-data. Not started.
    KnownInstance();

    struct Id {
        std::uint64_t epoch;
        std::uint32_t revision;
        auto operator<=>(const Id&) const = default;
        [[nodiscard]] std::string text() const;  ///< "495512.0"
    };
    /// Looks at the ring until the time is over, and learns the keys of each record: the derivation that
    /// gives its name. Throws if there is a record that no known key gives.
    void follow(std::chrono::milliseconds time);
    [[nodiscard]] const std::map<Id, Derivation>& known() const noexcept { return known_; }
    /// Those whose records are in the ring, and the others.
    [[nodiscard]] std::map<Id, Derivation> live();
    [[nodiscard]] std::map<Id, Derivation> past();
    /// Waits until stekd rests: the epoch has just begun, the next one's key is in the ring.
    void await_rest();
    /// stekctl, which must go well.
    void order(test::Arguments arguments) const;

    test::Workspace space;
    tests::FaultyModule module;
    test::StekdInstance instance;

  private:
    void plant_chain_key();
    std::shared_ptr<const KeyRing> learn();  ///< the ring that it learnt from
    Key first_chain_{};
    std::uint64_t first_epoch_ = 0;
    std::map<Id, Derivation> known_;
};

/// Runs `act` in a process of its own, logged in to the instance's vault. Throws if that, or `act`, fails.
void in_vault(const test::StekdInstance& instance, const std::function<void(pkcs11::Session&)>& act);

}  // namespace stek::traces
