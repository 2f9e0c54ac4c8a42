// What the files of the token sealer share: its key table, and what a thread keeps. Of no use to others.
#pragma once

#include "provider/patient_lock.hpp"
#include "provider/thread_own.hpp"
#include "provider/token_link.hpp"
#include "provider/token_sealer.hpp"

#include <chrono>
#include <optional>

namespace stek {

inline constexpr std::uint64_t slow_call_ms =
    1000;  ///< a call this slow counts as a failing token: the next handshakes go without
inline constexpr std::chrono::milliseconds wait_for_calls_to_end{500};

struct TokenSealer::Key {
    KeyName name{};
    PairId pair{};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    mutable std::atomic<std::uint64_t> sealed{0};
};

struct TokenSealer::Table {
    std::shared_ptr<TokenLink> link;
    std::weak_ptr<const KeyRing> ring;  // the one that the keys were last compared with; a thread that sleeps
                                        // with this table keeps no admission keys
    std::vector<std::shared_ptr<const Key>> keys;

    [[nodiscard]] bool compared_with(const std::shared_ptr<const KeyRing>& other) const noexcept {
        return !ring.owner_before(other) && !other.owner_before(ring);
    }
};

struct TokenSealer::Local {
    Local() = default;
    Local(const Local&) = delete;
    Local& operator=(const Local&) = delete;
    ~Local() { close(); }
    /// Closes the session. Through the gate, as each call: another thread may be finalising the module.
    void close() noexcept {
        if (!session) {
            return;
        }
        const auto deadline = std::chrono::steady_clock::now() + wait_for_calls_to_end;
        while (!gate->enter(*slot)) {
            if (!gate->wait_until_open(deadline)) {
                session->abandon();
                session.reset();
                return;
            }
        }
        session.reset();
        CallGate::leave(*slot);
    }

    std::shared_ptr<CallGate> gate;
    std::uint64_t sealer = 0;
    std::uint64_t sequence = 0;
    std::shared_ptr<const Table> table;
    std::shared_ptr<CallGate::Slot> slot;
    std::uint64_t session_link = 0;
    std::optional<pkcs11::Session> session;
};

}  // namespace stek
