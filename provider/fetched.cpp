#include "provider/fetched.hpp"

#include "provider/journal.hpp"

#include <atomic>

#include <openssl/core_names.h>
#include <openssl/params.h>

namespace stek {

namespace {

/// Whatever the site's default_properties say: they are about other providers (provider=default, fips=yes).
constexpr char ours[] = "provider=stek,-fips";

std::atomic<OSSL_LIB_CTX*> library_context{nullptr};
std::atomic<bool> library_context_is_there{false};

/// No lock, for a fork may come at any moment: who comes second gives up his own.
template <class T>
T* once(std::atomic<T*>& known, T* (*make)(), void (*free)(T*)) noexcept {
    T* object = known.load(std::memory_order_acquire);
    if (object == nullptr) {
        T* fresh = make();
        if (fresh == nullptr || known.compare_exchange_strong(object, fresh, std::memory_order_acq_rel)) {
            return fresh;
        }
        free(fresh);
    }
    return object;
}

EVP_MAC_CTX* make_hmac() {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr);
    std::unique_ptr<EVP_MAC_CTX, MacContextFree> context(mac != nullptr ? EVP_MAC_CTX_new(mac) : nullptr);
    EVP_MAC_free(mac);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    return context && EVP_MAC_CTX_set_params(context.get(), params) == 1 ? context.release() : nullptr;
}

}  // namespace

void look_in_library_context(OSSL_LIB_CTX* context) noexcept {
    library_context.store(context);
    library_context_is_there.store(true, std::memory_order_release);
}

void leave_library_context() noexcept {
    library_context_is_there.store(false, std::memory_order_release);
}

const EVP_MD* sha256() noexcept {
    static std::atomic<EVP_MD*> known{nullptr};
    return once<EVP_MD>(
        known, [] { return EVP_MD_fetch(nullptr, "SHA256", nullptr); }, EVP_MD_free);
}

const EVP_CIPHER* stek_cipher() noexcept {
    static std::atomic<EVP_CIPHER*> known{nullptr};
    return once<EVP_CIPHER>(
        known,
        []() -> EVP_CIPHER* {
            if (!library_context_is_there.load(std::memory_order_acquire)) {
                return nullptr;
            }
            EVP_CIPHER* cipher = EVP_CIPHER_fetch(library_context.load(), "STEK-AES-256-GCM", ours);
            static std::atomic<bool> said{false};
            if (cipher == nullptr && !said.exchange(true)) {
                journal::send(journal::Level::error, "OpenSSL does not find STEK-AES-256-GCM: no tickets",
                              {{"STEK_STATE", "no-cipher"}});
            }
            return cipher;
        },
        EVP_CIPHER_free);
}

std::unique_ptr<EVP_MAC_CTX, MacContextFree> new_hmac_sha256() noexcept {
    static std::atomic<EVP_MAC_CTX*> known{nullptr};
    const EVP_MAC_CTX* keyless = once<EVP_MAC_CTX>(known, make_hmac, EVP_MAC_CTX_free);
    return std::unique_ptr<EVP_MAC_CTX, MacContextFree>(keyless != nullptr ? EVP_MAC_CTX_dup(keyless)
                                                                           : nullptr);
}

}  // namespace stek
