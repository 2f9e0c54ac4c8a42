// STEK-KDF: the key schedule as an EVP_KDF, run inside the vault token.
#pragma once

#include <mutex>

#include <openssl/core_dispatch.h>

namespace stek {

namespace pkcs11 {
class Session;
}

/// How the KDF reaches the vault. Implementations are thread-safe by giving the session out locked.
class VaultAccess {
  public:
    virtual ~VaultAccess() = default;
    /// A logged-in read-write session of the vault token, opened when first asked for and anew when the last
    /// one was spent or is a parent's. Good while the caller holds `lock`, which this call takes. Throws
    /// pkcs11::Error, TokenError, UriError.
    virtual pkcs11::Session& session(std::unique_lock<std::mutex>& lock) = 0;
};

class ProviderContext;
/// The vault of the provider context that OpenSSL passes as `provctx`; defined with ProviderContext.
VaultAccess& vault_of(void* provctx) noexcept;

/// EVP_KDF "STEK-KDF".
/// Settable: "epoch" (uint64), "revision" (uint32, default 0), "hourly-key" (32 octets), "wrap-key" (DER
///   SubjectPublicKeyInfo, RSA), "oaep-hash" (UTF-8, "SHA1" or "SHA256": what the ticket token unwraps with;
///   by default the best that the vault has).
/// "wrap-key" may come several times in one list of parameters, which replaces those set before: the STEK is
///   derived once and wrapped to each. Then the n-th "wrapped-key" of a list is given what is wrapped to the
///   n-th of them.
/// EVP_KDF_derive() outputs the key name, so the length is 16: nothing secret leaves by the output buffer,
///   which `openssl kdf` prints. The epoch may not be before that of the vault's chain key.
/// Gettable after it: "key-name" (16 octets), "admission-key" (32 octets, secret), "wrapped-key" (octets),
///   "oaep-hash" (UTF-8, "SHA1" or "SHA256").
/// Fails with a reason in the error queue: parameter missing or out of range, vault not usable.
extern const OSSL_DISPATCH kdf_functions[];

namespace kdf_param {
inline constexpr char epoch[] = "epoch";
inline constexpr char revision[] = "revision";
inline constexpr char hourly_key[] = "hourly-key";
inline constexpr char wrap_key[] = "wrap-key";
inline constexpr char key_name[] = "key-name";
inline constexpr char admission_key[] = "admission-key";
inline constexpr char wrapped_key[] = "wrapped-key";
inline constexpr char oaep_hash[] = "oaep-hash";
}  // namespace kdf_param

}  // namespace stek
