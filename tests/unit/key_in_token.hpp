// A P-256 key as libp11 gives it: an EVP_PKEY whose agreement and signing are done elsewhere.
#pragma once

#include "pkcs11/secret.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

namespace stek::test {

// libp11 is built on EC_KEY_METHOD, which OpenSSL 3.0 deprecates: what stands in for it has no other way.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/// One at a time; the keys that it makes are not used after it.
class KeyInToken {
  public:
    /// `real` is borrowed, and does the work.
    KeyInToken(EVP_PKEY* real, Bytes point) : real_(real), point_(point.begin(), point.end()) {
        current_ = this;
    }
    KeyInToken(const KeyInToken&) = delete;
    KeyInToken& operator=(const KeyInToken&) = delete;
    ~KeyInToken() { current_ = nullptr; }

    /// The caller's to free.
    [[nodiscard]] EVP_PKEY* make_key() const {
        const std::unique_ptr<EC_KEY, decltype(&EC_KEY_free)> key(
            EC_KEY_new_by_curve_name(NID_X9_62_prime256v1), EC_KEY_free);
        EC_KEY_oct2key(key.get(), point_.data(), point_.size(), nullptr);
        EC_KEY_set_method(key.get(), method());
        EVP_PKEY* made = EVP_PKEY_new();
        EVP_PKEY_set1_EC_KEY(made, key.get());
        return made;
    }

    std::function<void(std::vector<std::uint8_t>&)> spoil;  ///< what becomes of a right answer (agreement)
    bool fails = false;

  private:
    /// Never freed: a key asks its method how to end.
    static const EC_KEY_METHOD* method() {
        static const EC_KEY_METHOD* const ours = [] {
            EC_KEY_METHOD* made = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
            EC_KEY_METHOD_set_compute_key(made, compute);
            int (*to_der)(int, const unsigned char*, int, unsigned char*, unsigned int*, const BIGNUM*,
                          const BIGNUM*, EC_KEY*) = nullptr;
            EC_KEY_METHOD_get_sign(made, &to_der, nullptr, nullptr);
            EC_KEY_METHOD_set_sign(made, to_der, nullptr, sign);
            return made;
        }();
        return ours;
    }
    static int compute(unsigned char** out, std::size_t* size, const EC_POINT* peer, const EC_KEY*) {
        if (current_->fails) {
            ERR_raise(ERR_LIB_USER, current_->reason_);
            return 0;
        }
        const EC_KEY* own = EVP_PKEY_get0_EC_KEY(current_->real_);
        std::vector<std::uint8_t> answer(32);
        if (ECDH_compute_key(answer.data(), answer.size(), peer, own, nullptr) != 32)
            return 0;
        if (current_->spoil)
            current_->spoil(answer);
        *size = answer.size();
        *out = static_cast<unsigned char*>(OPENSSL_malloc(answer.size() + 1));
        std::ranges::copy(answer, *out);
        return 1;
    }

    static ECDSA_SIG* sign(const unsigned char* digest, int size, const BIGNUM*, const BIGNUM*, EC_KEY*) {
        if (current_->fails) {
            ERR_raise(ERR_LIB_USER, current_->reason_);
            return nullptr;
        }
        return ECDSA_do_sign(digest, size, const_cast<EC_KEY*>(EVP_PKEY_get0_EC_KEY(current_->real_)));
    }

    static inline KeyInToken* current_ = nullptr;
    static inline ERR_STRING_DATA texts_[] = {{ERR_PACK(ERR_LIB_USER, 0, 1), "the token is gone"},
                                              {0, nullptr}};
    const int reason_ = (ERR_load_strings(ERR_LIB_USER, texts_), 1);
    EVP_PKEY* real_;
    std::vector<std::uint8_t> point_;
};

#pragma GCC diagnostic pop

}  // namespace stek::test
