// Seals and opens inside sessions of the ticket token.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/back_off.hpp"
#include "provider/call_gate.hpp"
#include "provider/sealer.hpp"
#include "provider/settings.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace stek {

struct TokenLink;

/// What the sealer tells its owner of; called at changes only, never on the steady path.
struct SealerEvents {
    std::function<void(const RingRecord&)> key_taken;
    std::function<void(std::string_view reason)> token_down;
    std::function<void()> token_back;
    std::function<void()> token_error;  ///< one failed call
};

/// One process's use of the ticket token. C_Initialize happens at the first prepare(). Threads have a session
/// each; the keys are session objects of one session more, and the table of them is immutable, copied by
/// threads when it changed: no lock is shared in the steady state. A failing token is left alone for a while
/// (BackOff).
class TokenSealer final : public Sealer {
  public:
    TokenSealer(const Settings& settings, std::shared_ptr<const pkcs11::Library> library,
                SealerEvents events);
    ~TokenSealer() override;
    TokenSealer(const TokenSealer&) = delete;
    TokenSealer& operator=(const TokenSealer&) = delete;

    SealStatus prepare(const std::shared_ptr<const KeyRing>& ring,
                       const RingRecord& record) noexcept override;
    bool keep_only(const std::shared_ptr<const KeyRing>& ring) noexcept override;
    SealStatus seal(const KeyName& key, Bytes iv, Bytes aad, Bytes plaintext,
                    std::uint8_t* out) noexcept override;
    SealStatus open(const KeyName& key, Bytes iv, Bytes aad, Bytes in, std::uint8_t* out) noexcept override;
    bool take_share(const KeyName& key) noexcept override;

  private:
    struct Key;    // one unwrapped STEK
    struct Table;  // the keys of one moment, immutable
    struct Local;  // what a thread keeps

    Local* local();  ///< null if the thread's own things are gone: the process exits
    const Key* find(Local& mine, const KeyName& name);
    SealStatus enter(Local*& mine, const Key*& key, const KeyName& name);
    pkcs11::Session& session_of(Local& mine);
    SealStatus crypt(bool sealing, const KeyName& name, Bytes iv, Bytes aad, Bytes in, std::uint8_t* out,
                     std::size_t room, std::size_t wanted) noexcept;
    SealStatus failed_call(Local& mine, const Key& key, CK_RV rv, bool sealing,
                           std::uint64_t begun_ms) noexcept;
    bool known_answer(Local& mine, const Key& key) noexcept;
    void take_key(Local& mine, const std::shared_ptr<const KeyRing>& ring, const RingRecord& record);
    void keep_keys_of(const KeyRing* ring, std::shared_ptr<Table>& next);
    void destroy(const std::shared_ptr<TokenLink>& link, const std::vector<std::shared_ptr<const Key>>& keys);
    bool destroy_keys_of_given_up_links() noexcept;
    bool look_for_left_pairs() noexcept;
    std::shared_ptr<TokenLink> connect(Local& mine, const std::string& serial);
    void watch_exit_and_forks();  // before the first call; throws TokenError in a process that may make none
    bool hold_calls() noexcept;   // nobody is in the module from here on, nobody changes the table
    void release_calls() noexcept;
    void destroy_inherited_keys() noexcept;  // in a child, calls being held
    void publish(std::shared_ptr<const Table> table);
    void stop_calls() noexcept;
    void failed(std::string_view reason, std::uint64_t begun_ms) noexcept;
    void worked() noexcept;

    const Settings settings_;
    const std::shared_ptr<const pkcs11::Library> library_;
    const SealerEvents events_;
    const std::uint64_t id_;
    const std::shared_ptr<CallGate> gate_;  // shared with threads that outlive the sealer
    std::mutex mutex_;                      // guards table_ and whatever changes it
    std::shared_ptr<const Table> table_;
    /// Pairs that no record needs any more, and how many times they were looked for since.
    struct LeftPair {
        PairId pair;
        unsigned looks;
    };
    std::vector<LeftPair> left_pairs_;
    std::vector<std::shared_ptr<TokenLink>> given_up_links_;  // whose keys may still be there
    std::atomic<std::uint64_t> sequence_{1};
    std::atomic<bool> relink_{false};  // the link is broken: connect anew at the next prepare
    BackOff back_off_;
    std::atomic<std::uint64_t> next_known_answer_ms_{0};
};

}  // namespace stek
