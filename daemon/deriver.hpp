// STEKs by the provider's STEK-KDF: the daemon decides, the provider derives.
#pragma once

#include "daemon/config.hpp"
#include "provider/schedule.hpp"

#include <memory>
#include <span>
#include <stdexcept>

#include <openssl/types.h>

namespace stek::daemon {

/// The provider could not be loaded, or the derivation failed; what() has OpenSSL's error queue.
class DeriverError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The provider in a library context of its own, attached to no TLS. Not thread-safe.
class Deriver {
  public:
    explicit Deriver(const Config& config);
    Deriver(const Deriver&) = delete;
    Deriver& operator=(const Deriver&) = delete;
    ~Deriver();

    /// `chain_epoch` chooses the chain key: the chain's own epoch, plus the steps ahead of it. `hourly_key`
    /// is 32 bytes; `spki` is DER; `oaep` is what the ticket token unwraps with. Throws DeriverError.
    void derive(std::uint64_t chain_epoch, std::uint32_t revision, Bytes hourly_key, Bytes spki,
                OaepHash oaep, WrappedStek& out) const;
    /// The same for several public keys, at most 1024: the STEK is derived once. All or nothing.
    void derive(std::uint64_t chain_epoch, std::uint32_t revision, Bytes hourly_key,
                std::span<const Bytes> spkis, OaepHash oaep, WrappedSteks& out) const;

  private:
    struct Free {
        void operator()(OSSL_LIB_CTX* context) const noexcept;
        void operator()(EVP_KDF* kdf) const noexcept;
    };
    std::unique_ptr<OSSL_LIB_CTX, Free> context_;
    std::unique_ptr<EVP_KDF, Free> kdf_;
};

}  // namespace stek::daemon
