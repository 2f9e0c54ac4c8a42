#include "provider/libssl.hpp"

#include <atomic>
#include <dlfcn.h>
#include <new>
#include <type_traits>

#include <openssl/crypto.h>

namespace stek {

namespace {

/// Where an address is mapped from; null if from nowhere.
const void* object_of(const void* address) noexcept {
    Dl_info info{};
    return dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

/// Of several objects in a process that have functions of these names (another OpenSSL, a library that brings
/// its own) those of one: a mixture would end in a crash.
class Source {
  public:
    /// `where`: as for dlsym(). None if that has no libssl.
    explicit Source(void* where) noexcept
        : where_(where), object_(object_of(dlsym(where, "SSL_CTX_set_tlsext_ticket_key_evp_cb"))) {}

    [[nodiscard]] const void* object() const noexcept { return object_; }

    template <class Function>
    bool find(const char* name, Function& out) const noexcept {
        void* const found = dlsym(where_, name);
        out = reinterpret_cast<Function>(found);
        return found != nullptr && object_ != nullptr && object_of(found) == object_;
    }

  private:
    void* where_;
    const void* object_;
};

/// The one that uses our libcrypto, for that is what called us: the same object (a program that brings both),
/// or libssl.so.3, which may be private (Python's), or what the global scope has.
Source libssl() noexcept {
    const Source global(RTLD_DEFAULT);
    const void* const libcrypto = object_of(reinterpret_cast<const void*>(&CRYPTO_get_ex_new_index));
    if (global.object() == libcrypto) {
        return global;
    }
    // Never closed: an SSL_CTX with our callback is as good as a reference.
    void* const handle = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD);
    return handle != nullptr ? Source(handle) : global;
}

// The older one gives a long.
static_assert(std::is_same_v<std::time_t, long>);

bool fill(const Source& source, LibSsl& out) noexcept {
    return source.find("SSL_CTX_set_tlsext_ticket_key_evp_cb", out.set_ticket_callback) &&
           source.find("SSL_CTX_get_verify_mode", out.ctx_verify_mode) &&
           source.find("SSL_CTX_get_ssl_method", out.ctx_method) &&
           source.find("TLS_client_method", out.client_method) &&
           source.find("DTLS_client_method", out.dtls_client_method) &&
           source.find("SSL_get_certificate", out.certificate) &&
           source.find("SSL_get_verify_mode", out.verify_mode) &&
           source.find("SSL_get_client_CA_list", out.client_ca_list) &&
           source.find("SSL_CTX_get_ex_data", out.ctx_get_ex_data) &&
           source.find("SSL_get_ex_data", out.get_ex_data) && source.find("SSL_get_SSL_CTX", out.get_ctx) &&
           source.find("SSL_get_servername", out.servername) &&
           source.find("SSL_client_hello_get0_ext", out.client_hello_extension) &&
           source.find("SSL_version", out.version) && source.find("SSL_session_reused", out.session_reused) &&
           source.find("SSL_get_session", out.session) &&
           (source.find("SSL_SESSION_get_time_ex", out.session_time) ||
            source.find("SSL_SESSION_get_time", out.session_time)) &&
           source.find("SSL_SESSION_get0_peer", out.session_peer) && source.find("SSL_get_rfd", out.rfd) &&
           source.find("SSL_get_client_random", out.client_random) &&
           source.find("SSL_set_max_early_data", out.set_max_early_data) &&
           source.find("SSL_get_finished", out.finished) &&
           source.find("SSL_get_num_tickets", out.num_tickets) && source.find("SSL_ctrl", out.ctrl);
}

}  // namespace

const LibSsl* LibSsl::load() noexcept {
    static std::atomic<const LibSsl*> loaded{nullptr};
    if (const auto* known = loaded.load(std::memory_order_acquire)) {
        return known;
    }
    LibSsl found{};
    if (!fill(libssl(), found)) {
        return nullptr;
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
