#include "tests/attack/softhsm_file.hpp"

#include "pkcs11/cryptoki.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

namespace fs = std::filesystem;

namespace stek::attack {

namespace {

std::string big_endian(std::uint64_t value) {
    std::string out(8, '\0');
    for (std::size_t i = out.size(); i-- > 0; value >>= 8)
        out[i] = static_cast<char>(value);
    return out;
}

/// An attribute of bytes is written as: type (8), kind 3 (8), length (8), the bytes.
std::string attribute(const std::string& file, CK_ATTRIBUTE_TYPE type) {
    const auto at = file.find(big_endian(type) + big_endian(3));
    if (at == std::string::npos || at + 24 > file.size())
        return {};
    std::size_t length = 0;
    for (std::size_t i = 16; i < 24; ++i)
        length = length << 8 | static_cast<std::uint8_t>(file[at + i]);
    return file.substr(at + 24, length);
}

Key rsa(const std::string& file) {
    const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> build(OSSL_PARAM_BLD_new(),
                                                                                OSSL_PARAM_BLD_free);
    std::vector<std::unique_ptr<BIGNUM, decltype(&BN_free)>> numbers;
    for (const auto& [type, name] : {std::pair{CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
                                     {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
                                     {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D}}) {
        const std::string value = attribute(file, type);
        if (value.empty())
            return {};
        numbers.emplace_back(BN_bin2bn(reinterpret_cast<const unsigned char*>(value.data()),
                                       static_cast<int>(value.size()), nullptr),
                             BN_free);
        OSSL_PARAM_BLD_push_BN(build.get(), name, numbers.back().get());
    }
    const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> list(OSSL_PARAM_BLD_to_param(build.get()),
                                                                       OSSL_PARAM_free);
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr), EVP_PKEY_CTX_free);
    EVP_PKEY* made = nullptr;
    if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, list.get()) != 1)
        return {};
    return {made, EVP_PKEY_free};
}

}  // namespace

Key private_half_in(const fs::path& token, const PairId& id) {
    std::error_code closed;
    for (const auto& entry : fs::directory_iterator(token, closed)) {
        const std::string file = test::read_file(entry.path());
        const std::string its = attribute(file, CKA_ID);
        if (std::equal(its.begin(), its.end(), id.begin(), id.end(), [](char left, std::uint8_t right) {
                return static_cast<std::uint8_t>(left) == right;
            }))
            if (Key key = rsa(file))
                return key;
    }
    return {};
}

std::vector<std::uint8_t> unwrapped_outside(const Key& key, const RingRecord& record) {
    const char* md = record.oaep == OaepHash::sha256 ? "SHA256" : "SHA1";
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new(key.get(), nullptr), EVP_PKEY_CTX_free);
    std::vector<std::uint8_t> out(1024);
    std::size_t size = out.size();
    if (EVP_PKEY_decrypt_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), md, nullptr) != 1 ||
        EVP_PKEY_decrypt(context.get(), out.data(), &size, record.wrapped_key.data(),
                         record.wrapped_key.size()) != 1)
        return {};
    out.resize(size);
    return out;
}

}  // namespace stek::attack
