#include "tests/traces/known_schedule.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include <openssl/evp.h>

namespace stek::traces {
namespace {

/// What CKM_AES_CBC_ENCRYPT_DATA derives: AES-256-CBC, IV zero.
Key derived(const Key& key, const Key& data) {
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    const std::array<std::uint8_t, 16> zero{};
    Key out;
    int size = 0;
    if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key.data(), zero.data()) != 1 ||
        EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
        EVP_EncryptUpdate(context.get(), out.data(), &size, data.data(), static_cast<int>(data.size())) != 1)
        throw std::runtime_error("no AES-256-CBC in OpenSSL");
    return out;
}

Key labelled(const Key& key, const std::string& label) {
    const std::string text = "stekd v1 " + label;
    Key digest;
    std::size_t size = 0;
    if (EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest.data(), &size) != 1)
        throw std::runtime_error("no SHA-256 in OpenSSL");
    return derived(key, digest);
}

}  // namespace

Key next_chain_key(const Key& chain) {
    return labelled(chain, "chain");
}

Derivation derive(const Key& chain, std::uint32_t revision, const Key& hourly) {
    Derivation all{chain, labelled(chain, "mix " + std::to_string(revision)), hourly, {}, {}, {}};
    all.secret = derived(all.mixed, hourly);
    all.stek = labelled(all.secret, "seal");
    const Key name = labelled(all.secret, "name");
    std::copy_n(name.begin(), all.name.size(), all.name.begin());
    return all;
}

void add_to(Needles& needles, const std::string& id, const Derivation& derivation) {
    needles["chain key of " + id] = derivation.chain;
    needles["mixed key of " + id] = derivation.mixed;
    needles["hourly key of " + id] = derivation.hourly;
    needles["secret of " + id] = derivation.secret;
    needles["STEK " + id] = derivation.stek;
}

}  // namespace stek::traces
