// What the files of the token sealer share: its key table, and what a thread keeps. Of no use to others.
#pragma once

#include "provider/token_link.hpp"
#include "provider/token_sealer.hpp"

#include <chrono>
#include <optional>
#include <thread>

namespace stek {

inline constexpr std::uint64_t slow_call_ms =
    1000;  ///< a call this slow counts as a failing token: the next handshakes go without
inline constexpr std::chrono::milliseconds wait_for_other_thread{50};
inline constexpr std::chrono::milliseconds wait_for_calls_to_end{500};

/// Unlocked if another thread held it all that time. Polled: it is contended at changes only, and the
/// ThreadSanitizer of GCC 12 does not see the pthread_mutex_clocklock() of std::timed_mutex.
inline std::unique_lock<std::mutex> lock_for_a_while(
    std::mutex& mutex, std::chrono::milliseconds patience = wait_for_other_thread) {
    std::unique_lock lock(mutex, std::try_to_lock);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!lock && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        static_cast<void>(lock.try_lock());
    }
    return lock;
}

struct TokenSealer::Key {
    KeyName name{};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    mutable std::atomic<std::uint64_t> sealed{0};
};

struct TokenSealer::Table {
    std::shared_ptr<TokenLink> link;
    std::shared_ptr<const KeyRing> ring;  // the one that the keys were last compared with
    std::vector<std::shared_ptr<const Key>> keys;
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
        const auto until = std::chrono::steady_clock::now() + wait_for_calls_to_end;
        while (!gate->enter(*slot)) {
            if (std::chrono::steady_clock::now() >= until) {
                session->abandon();
                session.reset();
                return;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(200));
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
