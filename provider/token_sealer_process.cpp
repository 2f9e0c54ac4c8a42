// The token sealer and the life of its process: forks, and the module's exit handlers.
#include "provider/no_signals.hpp"
#include "provider/token_sealer_parts.hpp"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <pthread.h>
#include <vector>

namespace stek {
namespace {

/// The one whose calls must have ended before the module's own exit handlers take its insides apart.
std::atomic<TokenSealer*> serving{nullptr};

/// This process was forked while a thread of its parent hung in the module: whoever calls that here may wait
/// for ever, for locks that nobody holds.
std::atomic<bool> cut_off{false};

constexpr long one_second = 1'000'000'000;  // nanoseconds

void* destroy_keys_of(void* links) {
    const std::unique_ptr<std::vector<std::shared_ptr<TokenLink>>> own(
        static_cast<std::vector<std::shared_ptr<TokenLink>>*>(links));
    for (const auto& link : *own) {
        link->destroy_inherited_keys();
    }
    return nullptr;
}

/// For who closes the gate and is not inside it.
const CallGate::Slot& no_slot() noexcept {
    static const CallGate::Slot none;
    return none;
}

}  // namespace

TokenSealer::~TokenSealer() {
    TokenSealer* self = this;
    serving.compare_exchange_strong(self, nullptr);
}

void TokenSealer::stop_calls() noexcept {
    gate_->shut();  // before the wait: a thread that connects meanwhile must not open it again
    try {
        Local* const own = local();
        static_cast<void>(gate_->close(own != nullptr ? *own->slot : no_slot(), wait_for_calls_to_end));
    } catch (const std::exception&) {
        return;  // no memory to wait in
    }
}

void TokenSealer::watch_exit_and_forks() {
    if (cut_off.load()) {
        throw pkcs11::TokenError(
            "this process was forked while a call to the token hung in its parent, and does without the "
            "token");
    }
    // Registered after the module was mapped, so it runs before the module's own: a thread of the server may
    // be sealing while another exits (HAProxy: seen to crash in SoftHSM).
    static const int at_exit = std::atexit([] {
        if (TokenSealer* sealer = serving.load()) {
            sealer->stop_calls();
        }
    });
    // A child must not inherit the module with its locks held by threads that the child does not have: it
    // would hang at its first call (seen: 5 of 80 children of a serving parent with threads).
    static thread_local TokenSealer* held = nullptr;
    static thread_local bool hangs = false;
    static const int at_fork = pthread_atfork(
        [] {
            TokenSealer* sealer = serving.load();
            held = sealer != nullptr && sealer->hold_calls() ? sealer : nullptr;
            hangs = sealer != nullptr && held == nullptr;
        },
        [] {
            if (held != nullptr) {
                held->release_calls();
            }
        },
        [] {
            if (held != nullptr) {
                held->destroy_inherited_keys();
                held->release_calls();
            }
            cut_off.store(cut_off.load() || hangs);
        });
    static_cast<void>(at_exit);
    static_cast<void>(at_fork);
    serving.store(this);
}

bool TokenSealer::hold_calls() noexcept {
    try {
        auto lock = lock_for_a_while(mutex_, wait_for_calls_to_end);
        if (!lock || !gate_->close(no_slot(), wait_for_calls_to_end)) {
            return false;
        }
        lock.release();  // until release_calls()
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

void TokenSealer::release_calls() noexcept {
    gate_->open();
    mutex_.unlock();
}

// By a thread of its own: others may use the module too, and if one of their threads was in it at the fork,
// it is locked for ever in this child, which wants to go on.
void TokenSealer::destroy_inherited_keys() noexcept {
    try {
        auto links = std::make_unique<std::vector<std::shared_ptr<TokenLink>>>(given_up_links_);
        if (table_ && table_->link) {
            links->push_back(table_->link);
        }
        if (links->empty()) {
            return;
        }
        const NoSignals none;
        pthread_t thread{};
        if (pthread_create(&thread, nullptr, destroy_keys_of, links.get()) != 0) {
            return;  // they go with the process
        }
        static_cast<void>(links.release());
        timespec until{};
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += std::chrono::nanoseconds(wait_for_calls_to_end).count();
        until.tv_sec += until.tv_nsec / one_second;
        until.tv_nsec %= one_second;
        if (pthread_clockjoin_np(thread, nullptr, CLOCK_MONOTONIC, &until) != 0) {
            pthread_detach(thread);
        }
    } catch (const std::exception&) {
        return;
    }
}

}  // namespace stek
