// The SSL_CTXs of a process, for who must know what others there are.
#include "provider/connection.hpp"
#include "provider/timing.hpp"

#include <algorithm>
#include <limits>
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
std::atomic<std::uint64_t> changes{1};  // of the contexts that there are
std::atomic<bool> all_contexts_known{true};

}  // namespace

TlsContext::TlsContext(SSL_CTX* ctx) noexcept : ctx(ctx), id(next_context_id.fetch_add(1)) {
    try {
        const std::lock_guard lock(contexts().mutex);
        contexts().all.push_back(this);
        changes.fetch_add(1);
    } catch (const std::exception&) {
        all_contexts_known.store(false);
    }
}

TlsContext::~TlsContext() {
    const std::lock_guard lock(contexts().mutex);
    std::erase(contexts().all, this);
    changes.fetch_add(1);
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
    // One word: the changes so far (32 bits), the second (31), the answer.
    const std::uint64_t moment =
        changes.load() << 32 | (coarse_seconds() << 1 & std::numeric_limits<std::uint32_t>::max());
    const std::uint64_t seen = first.may_switch_seen.load(std::memory_order_relaxed);
    if ((seen & ~std::uint64_t{1}) == moment) {
        return (seen & 1) != 0;
    }
    const bool may = may_switch_client_authentication(ssl, first.ctx);
    first.may_switch_seen.store(moment | (may ? 1 : 0), std::memory_order_relaxed);
    return may;
}

}  // namespace stek
