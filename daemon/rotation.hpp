// Carries out the plan: looks at tokens, ring and state, asks plan(), acts.
#pragma once

#include "daemon/access.hpp"
#include "daemon/clocks.hpp"
#include "daemon/config.hpp"
#include "daemon/progress.hpp"
#include "daemon/state.hpp"
#include "daemon/tokens.hpp"
#include "daemon/work.hpp"

#include <memory>
#include <optional>

namespace stek::daemon {

/// The ring that is being made, and everything needed to make it. One thread.
class Rotation {
  public:
    using Next = Work::Next;

    /// Throws ConfigError (a reader that does not exist), AnotherStekd, std::system_error.
    explicit Rotation(Config config, Progress progress = {});

    /// Does all that is due; on return the ring is in place. After an exception tokens are closed and opened
    /// anew by the next call. Throws PinRefused, WeakToken and AnotherStekd, which do not pass by waiting,
    /// and pkcs11::Error, TokenError, UriError, DeriverError, std::system_error, which may.
    Next run();

    /// As run(), with an order. If it throws, a rotation may be done or not; a revocation may be done, with
    /// only the keys to come missing, or begun, and then the next run that can ends it: see revoked() and
    /// revoking().
    Next obey(const Order& order);
    /// What the last order took out of the ring that is to be published.
    [[nodiscard]] const std::vector<KeyId>& revoked() const noexcept { return revoked_; }
    /// Whether pairs are still to be destroyed, or the ring that servers see still names revoked keys.
    [[nodiscard]] bool revoking() const noexcept;
    /// Whether a revocation that was begun is ended after a kill, too: it is in the state file, or the pairs
    /// are gone.
    [[nodiscard]] bool revokes_durably() const noexcept;

    /// As run(), with new settings for the same state directory: a ring goes with its path, tokens that stay
    /// the same stay open. If it throws, those before are back, and the ring file with them.
    Next reconfigure(Config config);

    [[nodiscard]] const Config& config() const noexcept { return config_; }
    [[nodiscard]] const KeyRing& ring() const noexcept { return ring_; }
    [[nodiscard]] const State& state() const noexcept { return state_; }
    /// The files without which servers have no keys: the ring, and those of the tokens while they are open.
    [[nodiscard]] std::vector<WatchedFile> must_stay() const;
    /// What this object knows of it; the rest is left alone.
    void report(Health& health) const;

  private:
    struct Before;
    void go_back(Before before, bool other_tokens);
    void open();
    void back_up_tokens(const Tokens& tokens) const;
    void give_access(const Tokens& tokens) const;
    void check_present();
    [[nodiscard]] bool ring_is_there() const;
    [[nodiscard]] std::unique_ptr<Tokens> open_tokens();
    void probe();
    Next work(std::optional<Order> order);
    Next carry_out(std::optional<Order> order);
    void load_state();
    void load_ring();
    [[nodiscard]] std::string why_not_ours(const KeyRing& found) const;
    void take(const KeyRing& found);
    [[nodiscard]] World world();
    void save_state();
    void save_if_possible();
    /// Makes a change to the state that is durable on return. If it cannot be, there was none.
    template <typename Change>
    void remember(const Change& change);
    void forget_pair(const PairId& id);

    void act(const MakeChain& action);
    void act(const MakePair& action);
    void act(const Derive& action);
    void act(const Retire& action);
    void act(const Publish& action);
    void act(const Advance& action);
    void act(const DestroyPair& action);
    void act(const Alarm& action);
    void act(const EndSealing& action);
    void act(const MarkRotation& action);
    void act(const Condemn& action);

    void step() const { tell(progress_, Awaited::token); }

    Config config_;
    Progress progress_;
    Readers readers_;
    StateDirectory directory_;
    State state_;
    bool state_is_saved_ = true;  ///< or the file is behind
    KeyRing ring_;
    bool unpublished_ = false;         ///< ring_ is not what servers see
    std::optional<ino_t> ring_inode_;  ///< of the file that servers see, as last read or written
    std::string ring_trouble_;         ///< said once
    TokenClaims claims_;
    std::unique_ptr<Tokens> tokens_;
    bool probed_ = false;  ///< since the tokens were opened
    std::vector<KeyId> revoked_;
    bool revoked_are_seen_ = false;       ///< by servers, in a ring that could not be replaced yet
    std::optional<ChainPosition> chain_;  ///< as last seen
    std::uint64_t published_ = 0;         ///< rings
    std::int64_t last_published_ = 0;     ///< Unix seconds; 0: never
};

}  // namespace stek::daemon
