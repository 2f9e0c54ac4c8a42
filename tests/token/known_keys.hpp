// Keys whose bytes a test knows: a chain key put into a vault, an RSA pair outside any token.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/rsa_spki.hpp"
#include "provider/schedule.hpp"
#include "provider/vault.hpp"
#include "tests/token/open_token.hpp"

#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace stek::tests {

inline std::vector<std::uint8_t> chain_id(ChainPosition at) {
    std::vector<std::uint8_t> id;
    for (const std::uint64_t number : {at.index, at.epoch})
        for (int shift = 56; shift >= 0; shift -= 8)
            id.push_back(static_cast<std::uint8_t>(number >> shift));
    return id;
}

/// What Chain::make() would have made, had the token drawn these bytes.
inline pkcs11::Attributes known_chain_key(Bytes value, ChainPosition at) {
    pkcs11::Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .bytes(CKA_VALUE, value)
        .text(CKA_LABEL, "stekd chain aes-cbc v1")
        .bytes(CKA_ID, chain_id(at))
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_DERIVE, true);
    for (const CK_ATTRIBUTE_TYPE usage :
         {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP})
        key.flag(usage, false);
    key.mechanisms({CKM_AES_CBC_ENCRYPT_DATA});
    return key;
}

class RsaPair {
  public:
    explicit RsaPair(unsigned bits = 3072) : key_(EVP_RSA_gen(bits), EVP_PKEY_free) {
        unsigned char* der = nullptr;
        const int size = i2d_PUBKEY(key_.get(), &der);
        spki_.assign(der, der + size);
        OPENSSL_free(der);
    }
    [[nodiscard]] const std::vector<std::uint8_t>& spki() const noexcept { return spki_; }
    /// OAEP by OpenSSL. Empty if it does not decrypt.
    [[nodiscard]] std::vector<std::uint8_t> unwrap(Bytes wrapped, const char* hash) const {
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
            EVP_PKEY_CTX_new(key_.get(), nullptr), EVP_PKEY_CTX_free);
        if (EVP_PKEY_decrypt_init(context.get()) != 1 ||
            EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
            EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), hash, nullptr) != 1)
            throw std::runtime_error("no OAEP in OpenSSL");
        std::vector<std::uint8_t> out(1024);
        std::size_t size = out.size();
        if (EVP_PKEY_decrypt(context.get(), out.data(), &size, wrapped.data(), wrapped.size()) != 1)
            return {};
        out.resize(size);
        return out;
    }

  private:
    EvpPkey key_;
    std::vector<std::uint8_t> spki_;
};

}  // namespace stek::tests
