// SHA-256 over parts that are framed by their lengths, so that no two lists of parts give the same bytes.
#pragma once

#include "pkcs11/secret.hpp"
#include "provider/fetched.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include <openssl/evp.h>

namespace stek {

/// Lengths and numbers are 8 bytes, big-endian. An error of libcrypto shows in finish().
class FramedHash {
  public:
    FramedHash() noexcept : context_(EVP_MD_CTX_new()) {
        good_ = context_ && EVP_DigestInit_ex2(context_.get(), sha256(), nullptr) == 1;
    }
    void part(Bytes bytes) noexcept {
        number(bytes.size());
        good_ = good_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
    }
    void part(std::string_view text) noexcept {
        part(Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    }
    void number(std::uint64_t value) noexcept {
        std::uint8_t bytes[8];
        for (int i = 0; i < 8; ++i) {
            bytes[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
        }
        good_ = good_ && EVP_DigestUpdate(context_.get(), bytes, sizeof bytes) == 1;
    }
    [[nodiscard]] bool finish(std::array<std::uint8_t, 32>& out) noexcept {
        return good_ && EVP_DigestFinal_ex(context_.get(), out.data(), nullptr) == 1;
    }

  private:
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> context_;
    bool good_ = false;
};

}  // namespace stek
