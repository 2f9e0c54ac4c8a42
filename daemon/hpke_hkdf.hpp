// LabeledExtract and LabeledExpand over HKDF-SHA256 (RFC 9180, section 4).
#pragma once

#include "pkcs11/secret.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <openssl/kdf.h>

namespace stek::hpke {

using Digest = SecretArray<32>;

/// Everything derived carries the suite and a label, so that no two uses give the same bytes. All functions
/// throw Error when libcrypto fails. Threads may share an object.
class LabelledHkdf {
  public:
    /// `suite_id` is copied: "KEM" and its number (5 bytes), or "HPKE" and the three (10 bytes).
    explicit LabelledHkdf(Bytes suite_id);

    /// An empty salt is 32 zero bytes (RFC 5869, section 2.2). `out` may be where `salt` is.
    void extract(Bytes salt, std::string_view label, Bytes ikm, Digest& out) const;
    /// As many bytes as `out` has: 1 to 255 * 32. `info`: at most 512 bytes (OpenSSL 3.0 takes no more than
    /// 1024 with what is put before it).
    void expand(const Digest& prk, std::string_view label, Bytes info, std::span<std::uint8_t> out) const;

  private:
    struct Free {
        void operator()(EVP_KDF* kdf) const noexcept { EVP_KDF_free(kdf); }
    };
    void hkdf(int mode, Bytes salt, Bytes key, Bytes info, std::span<std::uint8_t> out) const;

    std::unique_ptr<EVP_KDF, Free> kdf_;
    std::array<std::uint8_t, 10> suite_id_{};
    std::size_t suite_id_size_;
};

}  // namespace stek::hpke
