// A known STEK, wrapped by OpenSSL to a pair of a token, and what it then makes of zeros there.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/rsa_spki.hpp"
#include "tests/fixtures/hex.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <openssl/evp.h>
#include <openssl/rsa.h>

namespace stek::tests {

inline const std::array<std::uint8_t, 32> stek_value = [] {
    std::array<std::uint8_t, 32> value{};
    for (std::size_t i = 0; i < value.size(); ++i)
        value[i] = static_cast<std::uint8_t>(7 * i + 1);
    return value;
}();

inline std::vector<std::uint8_t> encrypt_to(const std::vector<std::uint8_t>& spki,
                                            int padding = RSA_PKCS1_OAEP_PADDING) {
    const EvpPkey key = parse_rsa_spki(spki);
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new(key.get(), nullptr), EVP_PKEY_CTX_free);
    std::vector<std::uint8_t> out(384);
    std::size_t size = out.size();
    BOOST_REQUIRE_EQUAL(EVP_PKEY_encrypt_init(context.get()), 1);
    BOOST_REQUIRE_EQUAL(EVP_PKEY_CTX_set_rsa_padding(context.get(), padding), 1);
    BOOST_REQUIRE_EQUAL(
        EVP_PKEY_encrypt(context.get(), out.data(), &size, stek_value.data(), stek_value.size()), 1);
    BOOST_REQUIRE_EQUAL(size, 384U);
    return out;
}

/// 16 zero bytes under a zero IV, by OpenSSL: ciphertext and tag.
inline std::string expected_gcm() {
    const std::array<std::uint8_t, 16> zero{};
    std::array<std::uint8_t, 32> out{};
    int size = 0;
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, stek_value.data(), zero.data());
    EVP_EncryptUpdate(context.get(), out.data(), &size, zero.data(), zero.size());
    EVP_EncryptFinal_ex(context.get(), out.data() + size, &size);
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, out.data() + 16);
    return to_hex(out);
}

inline std::string token_gcm(pkcs11::Session& session, CK_OBJECT_HANDLE key) {
    std::array<std::uint8_t, 12> iv{};
    const std::array<std::uint8_t, 16> plain{};
    std::array<std::uint8_t, 32> out{};
    CK_GCM_PARAMS params{iv.data(), iv.size(), 96, nullptr, 0, 128};
    CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
    CK_RV rv = CKR_OK;
    session.encrypt(mechanism, key, plain, out, rv);
    BOOST_REQUIRE_EQUAL(pkcs11::rv_name(rv), "CKR_OK");
    return to_hex(out);
}

}  // namespace stek::tests
