// Signatures as frames have them: r and s, 32 bytes each, where libcrypto and libp11 speak DER.
#include "daemon/error_queue.hpp"
#include "daemon/fleet/frame.hpp"
#include "daemon/hpke_error.hpp"

#include <memory>
#include <string>

#include <openssl/ec.h>
#include <openssl/evp.h>

namespace stek::fleet {
namespace {

constexpr std::size_t half = Signature{}.size() / 2;
constexpr std::size_t largest_der = 72;  // SEQUENCE of two INTEGERs of up to 33 bytes

struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    void operator()(ECDSA_SIG* signature) const noexcept { ECDSA_SIG_free(signature); }
    void operator()(BIGNUM* number) const noexcept { BN_free(number); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free>;
using EcdsaSig = std::unique_ptr<ECDSA_SIG, Free>;
using Number = std::unique_ptr<BIGNUM, Free>;

struct Der {
    std::array<std::uint8_t, largest_der> bytes;
    std::size_t size = 0;
};

Signature from_der(const Der& der) {
    const unsigned char* at = der.bytes.data();
    const EcdsaSig parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size)));
    Signature signature;
    if (!parsed || at != der.bytes.data() + der.size ||
        BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), signature.data(), half) != half ||
        BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), signature.data() + half, half) != half)
        throw FrameError("signing: what was given is no signature of P-256");
    return signature;
}

// Whether r and s are in their range is looked at by who verifies: libcrypto does (SEC 1, section 4.1.4).
bool to_der(const Signature& signature, Der& der) noexcept {
    const EcdsaSig made(ECDSA_SIG_new());
    Number r(BN_bin2bn(signature.data(), half, nullptr));
    Number s(BN_bin2bn(signature.data() + half, half, nullptr));
    if (!made || !r || !s || ECDSA_SIG_set0(made.get(), r.get(), s.get()) != 1)
        return false;
    // They are the signature's now.
    (void)r.release();
    (void)s.release();
    unsigned char* at = der.bytes.data();
    const int size = i2d_ECDSA_SIG(made.get(), &at);
    der.size = size > 0 ? static_cast<std::size_t>(size) : 0;
    return size > 0;
}

}  // namespace

Signature sign_with(EVP_PKEY* key, Bytes bytes) {
    const EmptyQueue queue;
    if (key == nullptr || EVP_PKEY_is_a(key, "EC") != 1 ||
        EVP_PKEY_get_size(key) > static_cast<int>(largest_der))
        throw FrameError("signing: the key is not one of P-256");
    const DigestContext context(EVP_MD_CTX_new());
    Der der;
    der.size = der.bytes.size();
    // No library context and no provider is asked for: whoever holds the key signs.
    if (!context ||
        EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, key, nullptr) != 1 ||
        EVP_DigestSign(context.get(), der.bytes.data(), &der.size, bytes.data(), bytes.size()) != 1)
        throw FrameError("signing: failed: " + newest_reason());
    return from_der(der);
}

bool verifies(const Point& key, Bytes bytes, const Signature& signature) noexcept {
    const EmptyQueue queue;
    try {
        const hpke::KeyPtr parsed = hpke::parse_point(key, "a signing key");
        const DigestContext context(EVP_MD_CTX_new());
        Der der;
        return context && to_der(signature, der) &&
               EVP_DigestVerifyInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, parsed.get(),
                                       nullptr) == 1 &&
               EVP_DigestVerify(context.get(), der.bytes.data(), der.size, bytes.data(), bytes.size()) == 1;
    } catch (const std::exception&) {
        return false;
    }
}

}  // namespace stek::fleet
