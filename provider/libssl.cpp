#include "provider/libssl.hpp"

#include <atomic>
#include <dlfcn.h>
#include <new>
#include <type_traits>

namespace stek {

namespace {

template <class Function>
bool find(void* where, const char* name, Function& out) noexcept {
    out = reinterpret_cast<Function>(dlsym(where, name));
    return out != nullptr;
}

// The older one gives a long.
static_assert(std::is_same_v<std::time_t, long>);

bool fill(void* where, LibSsl& out) noexcept {
    return find(where, "SSL_CTX_set_tlsext_ticket_key_evp_cb", out.set_ticket_callback) &&
           find(where, "SSL_CTX_get_verify_mode", out.ctx_verify_mode) &&
           find(where, "SSL_CTX_get_ssl_method", out.ctx_method) &&
           find(where, "TLS_client_method", out.client_method) &&
           find(where, "DTLS_client_method", out.dtls_client_method) &&
           find(where, "SSL_get_certificate", out.certificate) &&
           find(where, "SSL_get_verify_mode", out.verify_mode) &&
           find(where, "SSL_get_client_CA_list", out.client_ca_list) &&
           find(where, "SSL_CTX_get_ex_data", out.ctx_get_ex_data) &&
           find(where, "SSL_get_ex_data", out.get_ex_data) && find(where, "SSL_get_SSL_CTX", out.get_ctx) &&
           find(where, "SSL_get_servername", out.servername) &&
           find(where, "SSL_client_hello_get0_ext", out.client_hello_extension) &&
           find(where, "SSL_version", out.version) && find(where, "SSL_session_reused", out.session_reused) &&
           find(where, "SSL_get_session", out.session) &&
           (find(where, "SSL_SESSION_get_time_ex", out.session_time) ||
            find(where, "SSL_SESSION_get_time", out.session_time)) &&
           find(where, "SSL_get_rfd", out.rfd) && find(where, "SSL_get_client_random", out.client_random) &&
           find(where, "SSL_set_max_early_data", out.set_max_early_data) &&
           find(where, "SSL_get_finished", out.finished) &&
           find(where, "SSL_get_num_tickets", out.num_tickets) && find(where, "SSL_ctrl", out.ctrl);
}

}  // namespace

const LibSsl* LibSsl::load() noexcept {
    static std::atomic<const LibSsl*> loaded{nullptr};
    if (const auto* known = loaded.load(std::memory_order_acquire)) {
        return known;
    }
    LibSsl found{};
    if (!fill(RTLD_DEFAULT, found)) {
        // Never closed: an SSL_CTX with our callback is as good as a reference.
        void* handle = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD);
        if (handle == nullptr || !fill(handle, found)) {
            return nullptr;
        }
    }
    const auto* fresh = new (std::nothrow) LibSsl(found);
    const LibSsl* expected = nullptr;
    if (fresh != nullptr && !loaded.compare_exchange_strong(expected, fresh)) {
        delete fresh;
        return expected;
    }
    return fresh;
}

}  // namespace stek
