// The SSL_CTXs that a process may serve with, for who must know what others there are.
#include "provider/connection.hpp"
#include "provider/fork_mutex.hpp"

#include <algorithm>
#include <mutex>
#include <pthread.h>
#include <vector>

namespace stek {

namespace {

/// Those that were made since we attached, and not for clients only.
struct Contexts {
    ForkMutex mutex;
    std::vector<const TlsContext*> all;
};
Contexts& contexts() {
    static Contexts* const known = [] {
        pthread_atfork([] { contexts().mutex.hold_for_fork(); }, [] { contexts().mutex.go_on(); },
                       [] { contexts().mutex.go_on(); });
        return new Contexts;  // contexts may be freed after static destructors
    }();
    return *known;
}

std::atomic<std::uint64_t> next_context_id{1};
std::atomic<bool> all_contexts_known{true};

/// A program may ask and answer by the same method; only these two cannot answer. A certificate tells
/// nothing: a client may have one, and a server choose its own for each connection.
bool is_for_clients_only(const LibSsl& ssl, const SSL_CTX* ctx) noexcept {
    const SSL_METHOD* method = ssl.ctx_method(ctx);
    return method == ssl.client_method() || method == ssl.dtls_client_method();
}

}  // namespace

TlsContext::TlsContext(const LibSsl& ssl, SSL_CTX* ctx) noexcept
    : ctx(ctx), id(next_context_id.fetch_add(1)), may_serve(!is_for_clients_only(ssl, ctx)) {
    if (!may_serve) {
        return;
    }
    try {
        const std::lock_guard lock(contexts().mutex);
        contexts().all.push_back(this);
    } catch (const std::exception&) {
        one_is_not_known();
    }
    doubt_routes();
}

void TlsContext::one_is_not_known() noexcept {
    all_contexts_known.store(false);
}

TlsContext::~TlsContext() {
    if (!may_serve) {
        return;
    }
    {
        const std::lock_guard lock(contexts().mutex);
        std::erase(contexts().all, this);
    }
    doubt_routes();
}

bool may_switch_client_authentication(const LibSsl& ssl, const SSL_CTX* first, bool asks) noexcept {
    if (!all_contexts_known.load()) {
        return true;
    }
    const std::lock_guard lock(contexts().mutex);
    return std::ranges::any_of(contexts().all, [&](const TlsContext* other) {
        return other->ctx != first && (asks || ssl.ctx_verify_mode(other->ctx) != SSL_VERIFY_NONE);
    });
}

}  // namespace stek
