// Algorithms fetched once in a process: an implicit fetch takes a dozen of the locks that libcrypto shares
// between threads (counted: 32 of the 47 on our account in a handshake).
#pragma once

#include <memory>

#include <openssl/evp.h>
#include <openssl/types.h>

namespace stek {

struct MacContextFree {
    void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
};

/// Where stek_cipher() is to be looked for: the library context of the provider that attached. Once.
void look_in_library_context(OSSL_LIB_CTX* context) noexcept;
/// It is about to go: what was not fetched yet never will be.
void leave_library_context() noexcept;

/// From the default library context, never freed: a server's exit handlers may still seal a ticket. Any
/// thread. Null if libcrypto fails, and tried again next time.
const EVP_MD* sha256() noexcept;
/// Our own, as libssl will use it: of the provider that attached, whose keys it is for.
const EVP_CIPHER* stek_cipher() noexcept;
/// A context that lacks only its key. Null if libcrypto fails.
std::unique_ptr<EVP_MAC_CTX, MacContextFree> new_hmac_sha256() noexcept;

}  // namespace stek
