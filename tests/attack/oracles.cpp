// What the token's answers say of a padding. Ciphertexts are made with the pair's public half, which anybody
// has.
#include "pkcs11/error.hpp"
#include "tests/attack/worker.hpp"

#include <map>
#include <memory>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

namespace stek::attack {

namespace {

using Octets = std::vector<std::uint8_t>;

/// OpenSSL's own view of the pair's public half.
class PublicHalf {
  public:
    explicit PublicHalf(Worker& worker) {
        const auto n = worker.read(worker.public_half, CKA_MODULUS),
                   e = worker.read(worker.public_half, CKA_PUBLIC_EXPONENT);
        if (!n || !e)
            throw CannotTry("the public half cannot be read");
        const std::unique_ptr<BIGNUM, decltype(&BN_free)> modulus(
            BN_bin2bn(n->data(), static_cast<int>(n->size()), nullptr), BN_free),
            exponent(BN_bin2bn(e->data(), static_cast<int>(e->size()), nullptr), BN_free);
        const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> build(OSSL_PARAM_BLD_new(),
                                                                                    OSSL_PARAM_BLD_free);
        OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
        OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
        const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> list(
            OSSL_PARAM_BLD_to_param(build.get()), OSSL_PARAM_free);
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
            EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr), EVP_PKEY_CTX_free);
        EVP_PKEY* made = nullptr;
        if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
            EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, list.get()) != 1)
            throw CannotTry("OpenSSL does not take the public half");
        key_.reset(made);
    }
    [[nodiscard]] Octets seal(const Octets& in, int padding) const {
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
            EVP_PKEY_CTX_new(key_.get(), nullptr), EVP_PKEY_CTX_free);
        Octets out(static_cast<std::size_t>(EVP_PKEY_get_size(key_.get())));
        std::size_t size = out.size();
        if (EVP_PKEY_encrypt_init(context.get()) != 1 ||
            EVP_PKEY_CTX_set_rsa_padding(context.get(), padding) != 1 ||
            EVP_PKEY_encrypt(context.get(), out.data(), &size, in.data(), in.size()) != 1)
            throw CannotTry("OpenSSL does not encrypt to the public half");
        return out;
    }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(EVP_PKEY_get_size(key_.get())); }

  private:
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_{nullptr, EVP_PKEY_free};
};

/// A block of the modulus' size that is below the modulus: random, with these first bytes.
Octets block(std::size_t size, std::uint8_t first, std::uint8_t second) {
    Octets out(size);
    RAND_bytes(out.data(), static_cast<int>(size));
    out[0] = first;
    out[1] = second;
    return out;
}

/// The answers to `count` ciphertexts of each kind; an oracle if two kinds are told apart.
Loot told_apart(Worker& worker, CK_MECHANISM& by,
                const std::map<std::string, std::function<Octets()>>& kinds) {
    std::map<std::string, std::map<CK_RV, int>> answers;
    CK_RV last = CKR_OK;
    for (const auto& [kind, make] : kinds)
        for (int i = 0; i < 8; ++i) {
            CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
            last = worker.unwrap(by, worker.loose ? greedy() : narrow(), key, 0, make());
            ++answers[kind][last];
        }
    Loot loot = answered(last);
    for (const auto& [kind, seen] : answers)
        if (seen != answers.begin()->second) {
            loot.use = "answers tell " + kind + " from " + answers.begin()->first;
            for (const auto& [rv, count] : seen)
                loot.use += ": " + pkcs11::rv_name(rv) + " " + std::to_string(count) + " times";
        }
    return loot;
}

}  // namespace

void add_oracles(Attempts& to) {
    // Bleichenbacher: is the block 00 02 ...?
    to.push_back(
        {"oracle", "PKCS#1 v1.5 blocks, good and bad", [](Worker& worker) {
             const PublicHalf half(worker);
             return told_apart(
                 worker, mechanism(CKM_RSA_PKCS),
                 {{"good padding", [&] { return half.seal(Octets(32, 7), RSA_PKCS1_PADDING); }},
                  {"bad padding", [&] { return half.seal(block(half.size(), 0, 7), RSA_NO_PADDING); }}});
         }});
    // Manger: is the first byte of a block that is no good OAEP 0?
    to.push_back({"oracle", "OAEP blocks that begin with 0 or not (Manger)", [](Worker& worker) {
                      const PublicHalf half(worker);
                      return told_apart(
                          worker, oaep(),
                          {{"0 first", [&] { return half.seal(block(half.size(), 0, 7), RSA_NO_PADDING); }},
                           {"1 first", [&] { return half.seal(block(half.size(), 1, 7), RSA_NO_PADDING); }}});
                  }});
    to.push_back(
        {"oracle", "a ciphertext that is cut or drawn out, or not below the modulus", [](Worker& worker) {
             CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
             CK_RV rv = CKR_OK;
             for (const std::size_t size : {1U, 383U, 385U, 768U})
                 if (rv = worker.unwrap(oaep(), narrow(), key, 0, Octets(size, 0xFF)); rv == CKR_OK)
                     return gained(rv, "took it");
             return answered(worker.unwrap(oaep(), narrow(), key, 0, Octets(384, 0xFF)));
         }});
    for (const std::size_t size : {0U, 1U, 15U, 16U, 24U, 31U, 33U, 48U})
        to.push_back(
            {"oracle", "a value of one's own of " + std::to_string(size) + " bytes", [size](Worker& worker) {
                 const PublicHalf half(worker);
                 CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                 const CK_RV rv = worker.unwrap(oaep(), worker.loose ? greedy() : narrow(), key, 0,
                                                half.seal(Octets(size, 9), RSA_PKCS1_OAEP_PADDING));
                 return worker.look_over(rv, key, "a key that the attacker chose");
             }});
}

}  // namespace stek::attack
