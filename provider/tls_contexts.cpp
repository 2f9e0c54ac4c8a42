// The SSL_CTXs of a process, for who must know what others there are.
#include "provider/connection.hpp"

#include <algorithm>
#include <mutex>
#include <pthread.h>
#include <vector>

namespace stek {

namespace {

/// All SSL_CTXs that were made since we attached. A fork must not inherit the lock held.
struct Contexts {
    std::mutex mutex;
    std::vector<const TlsContext*> all;
};
Contexts& contexts() {
    static Contexts* const known = [] {
        pthread_atfork([] { contexts().mutex.lock(); }, [] { contexts().mutex.unlock(); },
                       [] { contexts().mutex.unlock(); });
        return new Contexts;  // contexts may be freed after static destructors
    }();
    return *known;
}

std::atomic<std::uint64_t> next_context_id{1};
std::atomic<bool> all_contexts_known{true};

}  // namespace

TlsContext::TlsContext(SSL_CTX* ctx) noexcept : ctx(ctx), id(next_context_id.fetch_add(1)) {
    try {
        const std::lock_guard lock(contexts().mutex);
        contexts().all.push_back(this);
        context_changes.fetch_add(1);
    } catch (const std::exception&) {
        all_contexts_known.store(false);
    }
}

TlsContext::~TlsContext() {
    const std::lock_guard lock(contexts().mutex);
    std::erase(contexts().all, this);
    context_changes.fetch_add(1);
}

bool may_switch_client_authentication(const LibSsl& ssl, const SSL_CTX* first) noexcept {
    if (!all_contexts_known.load()) {
        return true;
    }
    const bool first_asks = ssl.ctx_verify_mode(first) != SSL_VERIFY_NONE;
    const std::lock_guard lock(contexts().mutex);
    return std::ranges::any_of(contexts().all, [&](const TlsContext* other) {
        // Without a certificate it is a client's, or no server could use it.
        return other->ctx != first && ssl.ctx_certificate(other->ctx) != nullptr &&
               (first_asks || ssl.ctx_verify_mode(other->ctx) != SSL_VERIFY_NONE);
    });
}

bool may_switch_client_authentication(const LibSsl& ssl, TlsContext& first) noexcept {
    const std::uint64_t now = context_changes.load(std::memory_order_acquire);
    const std::uint64_t seen = first.may_switch_seen.load(std::memory_order_relaxed);
    if (seen >> 1 == now) {
        return (seen & 1) != 0;
    }
    const bool may = may_switch_client_authentication(ssl, first.ctx);
    first.may_switch_seen.store(now << 1 | (may ? 1 : 0), std::memory_order_relaxed);
    return may;
}

}  // namespace stek
