#include "daemon/hpke.hpp"

#include "daemon/error_queue.hpp"
#include "daemon/hpke_hkdf.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

namespace stek::hpke {

namespace {

using internal::Aead;

constexpr std::array<std::uint8_t, 5> kem_suite{'K', 'E', 'M', 0x00, 0x10};  // section 4.1
constexpr std::uint8_t mode_base = 0x00;

std::size_t key_size(Aead aead) {
    return aead == Aead::aes_128_gcm ? 16 : 32;
}

/// What AES-GCM is given; the nonce is that of sequence number 0.
struct AeadKeys {
    SecretArray<32> key;
    SecretArray<12> nonce;
};

// ExtractAndExpand of section 4.1.
void derive_shared_secret(const SecretArray<32>& dh, Bytes enc, Bytes recipient_public,
                          Digest& shared_secret) {
    std::array<std::uint8_t, 2 * Point{}.size()> kem_context;
    std::ranges::copy(recipient_public, std::ranges::copy(enc, kem_context.begin()).out);
    const LabelledHkdf hkdf(kem_suite);
    Digest eae_prk;
    hkdf.extract({}, "eae_prk", dh.bytes(), eae_prk);
    hkdf.expand(eae_prk, "shared_secret", kem_context, shared_secret.span());
}

// KeySchedule of section 5.1; base mode has an empty psk and psk_id.
void derive_keys(Aead aead, const Digest& shared_secret, Bytes info, AeadKeys& keys) {
    const std::array<std::uint8_t, 10> suite{'H',  'P',  'K',  'E',  0x00,
                                             0x10, 0x00, 0x01, 0x00, static_cast<std::uint8_t>(aead)};
    const LabelledHkdf hkdf(suite);
    Digest psk_id_hash, info_hash, secret;
    hkdf.extract({}, "psk_id_hash", {}, psk_id_hash);
    hkdf.extract({}, "info_hash", info, info_hash);
    std::array<std::uint8_t, 1 + 2 * Digest::size()> context{mode_base};
    std::ranges::copy(info_hash.bytes(), std::ranges::copy(psk_id_hash.bytes(), context.begin() + 1).out);
    hkdf.extract(shared_secret.bytes(), "secret", {}, secret);
    hkdf.expand(secret, "key", context, keys.key.span().first(key_size(aead)));
    hkdf.expand(secret, "base_nonce", context, keys.nonce.span());
}

/// AES-GCM over one message.
class Gcm {
  public:
    enum class Way { open, seal };

    Gcm(Aead aead, Way way, const AeadKeys& keys, Bytes aad)
        : cipher_(
              EVP_CIPHER_fetch(nullptr, aead == Aead::aes_128_gcm ? "AES-128-GCM" : "AES-256-GCM", nullptr)),
          context_(EVP_CIPHER_CTX_new()) {
        if (!cipher_ || !context_ ||
            EVP_CipherInit_ex2(context_.get(), cipher_.get(), keys.key.data(), keys.nonce.data(),
                               way == Way::seal ? 1 : 0, nullptr) != 1)
            throw Error("HPKE: AES-GCM cannot start");
        update(nullptr, aad);
    }
    void update(std::uint8_t* out, Bytes in) {
        int size = 0;
        // No bytes at all have no address, by which libcrypto knows the end.
        if (!in.empty() && (in.size() > largest || EVP_CipherUpdate(context_.get(), out, &size, in.data(),
                                                                    static_cast<int>(in.size())) != 1))
            throw Error("HPKE: AES-GCM does not take " + std::to_string(in.size()) + " bytes");
    }
    void finish_sealing(std::uint8_t* tag) {
        int size = 0;
        std::uint8_t none[tag_size];
        if (EVP_CipherFinal_ex(context_.get(), none, &size) != 1 ||
            EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, tag) != 1)
            throw Error("HPKE: AES-GCM gives no tag");
    }
    [[nodiscard]] bool finish_opening(Bytes tag) {
        int size = 0;
        std::uint8_t none[tag_size];
        return EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, tag_size,
                                   const_cast<std::uint8_t*>(tag.data())) == 1 &&
               EVP_CipherFinal_ex(context_.get(), none, &size) == 1;
    }

  private:
    struct Free {
        void operator()(EVP_CIPHER* cipher) const noexcept { EVP_CIPHER_free(cipher); }
        void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
    };
    static constexpr std::size_t largest = std::numeric_limits<int>::max();
    std::unique_ptr<EVP_CIPHER, Free> cipher_;
    std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

}  // namespace

Sealed internal::seal(Aead aead, EVP_PKEY* ephemeral, Bytes recipient_public, Bytes info, Bytes aad,
                      Bytes plaintext) {
    const EmptyQueue queue;
    const KeyPtr recipient = parse_point(recipient_public, "the recipient's public key");
    Sealed sealed{point_of(ephemeral), std::vector<std::uint8_t>(plaintext.size() + tag_size)};
    SecretArray<32> dh;
    Digest shared_secret;
    AeadKeys keys;
    agree(ephemeral, recipient.get(), dh);
    derive_shared_secret(dh, sealed.enc, recipient_public, shared_secret);
    derive_keys(aead, shared_secret, info, keys);
    Gcm gcm(aead, Gcm::Way::seal, keys, aad);
    gcm.update(sealed.ciphertext.data(), plaintext);
    gcm.finish_sealing(sealed.ciphertext.data() + plaintext.size());
    return sealed;
}

Secret internal::open(Aead aead, EVP_PKEY* recipient, Bytes recipient_public, Bytes enc, Bytes info,
                      Bytes aad, Bytes ciphertext) {
    const EmptyQueue queue;
    if (ciphertext.size() < tag_size)
        throw Error("HPKE: the ciphertext has " + std::to_string(ciphertext.size()) +
                    " bytes: less than its tag");
    const KeyPtr ephemeral = parse_point(enc, "the encapsulated key");
    // What would be hashed unread, were it not looked at (section 7.1.4 asks for all that is given).
    (void)parse_point(recipient_public, "the recipient's public key");
    SecretArray<32> dh;
    Digest shared_secret;
    AeadKeys keys;
    agree(recipient, ephemeral.get(), dh);
    derive_shared_secret(dh, enc, recipient_public, shared_secret);
    derive_keys(aead, shared_secret, info, keys);
    // Wiped by its destructor if the tag is wrong.
    Secret plaintext(ciphertext.size() - tag_size);
    Gcm gcm(aead, Gcm::Way::open, keys, aad);
    gcm.update(plaintext.data(), ciphertext.first(plaintext.size()));
    if (!gcm.finish_opening(ciphertext.last(tag_size)))
        throw Error("HPKE: the ciphertext does not open: it, the key, the info or the header is another");
    return plaintext;
}

Sealed seal(Bytes recipient_public, Bytes info, Bytes aad, Bytes plaintext) {
    const EmptyQueue queue;
    const KeyPtr ephemeral = make_key();
    return internal::seal(Aead::aes_256_gcm, ephemeral.get(), recipient_public, info, aad, plaintext);
}

Secret open(EVP_PKEY* recipient, Bytes recipient_public, Bytes enc, Bytes info, Bytes aad, Bytes ciphertext) {
    return internal::open(Aead::aes_256_gcm, recipient, recipient_public, enc, info, aad, ciphertext);
}

}  // namespace stek::hpke
