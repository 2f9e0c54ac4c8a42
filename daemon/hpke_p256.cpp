#include "daemon/hpke_p256.hpp"

#include "daemon/error_queue.hpp"
#include "daemon/hpke_error.hpp"

#include <algorithm>
#include <string>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/params.h>

namespace stek::hpke {

namespace {

struct FreeContext {
    void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, FreeContext>;

constexpr std::uint8_t uncompressed = 0x04;

/// A key that others take the curve from: OpenSSL 3.0 needs as long to look it up by its name, each time, as
/// to make a key.
EVP_PKEY* on_the_curve() {
    static const KeyPtr key = [] {
        KeyPtr made(EVP_EC_gen("P-256"));
        if (!made)
            throw Error("HPKE: libcrypto has no P-256: " + newest_reason());
        return made;
    }();
    return key.get();
}

}  // namespace

KeyPtr make_key() {
    const Context maker(EVP_PKEY_CTX_new_from_pkey(nullptr, on_the_curve(), nullptr));
    EVP_PKEY* made = nullptr;
    if (!maker || EVP_PKEY_keygen_init(maker.get()) != 1 || EVP_PKEY_generate(maker.get(), &made) != 1)
        throw Error("HPKE: no P-256 key can be made: " + newest_reason());
    return KeyPtr(made);
}

KeyPtr parse_point(Bytes point, const char* what) {
    const auto refused = [what](const std::string& why) { return Error(std::string("HPKE: ") + what + why); };
    if (point.size() != Point{}.size())
        throw refused(": " + std::to_string(point.size()) + " bytes, 65 are needed");
    if (point.front() != uncompressed)
        throw refused(" is not an uncompressed point");
    KeyPtr key(EVP_PKEY_new());
    if (!key || EVP_PKEY_copy_parameters(key.get(), on_the_curve()) != 1)
        throw Error("HPKE: no P-256 key can be made: " + newest_reason());
    if (EVP_PKEY_set1_encoded_public_key(key.get(), point.data(), point.size()) != 1)
        throw refused(" is not a point of P-256");
    const Context checker(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
    // Partial validation, which is what section 7.1.4 asks for: P-256 has no points of another order.
    if (!checker || EVP_PKEY_public_check_quick(checker.get()) != 1)
        throw refused(" is not a point of P-256");
    return key;
}

Point point_of(const EVP_PKEY* key) {
    Point point;
    std::size_t size = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &size) !=
            1 ||
        size != point.size() || point.front() != uncompressed)
        throw Error("HPKE: a P-256 key does not give its public half");
    return point;
}

void agree(EVP_PKEY* own, EVP_PKEY* peer, SecretArray<32>& x) {
    const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
    std::size_t size = 0;
    if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
        // It was validated; to have that done once more takes longer than the agreement.
        EVP_PKEY_derive_set_peer_ex(context.get(), peer, 0) != 1 ||
        EVP_PKEY_derive(context.get(), nullptr, &size) != 1 || size != x.size())
        throw Error("HPKE: the private key is not one of P-256: " + newest_reason());
    SecretArray<32> answer;
    if (EVP_PKEY_derive(context.get(), answer.data(), &size) != 1 || size > answer.size())
        throw Error("HPKE: the key agreement failed: " + newest_reason());
    // A token may leave out leading zeros, which one coordinate in 256 has: the number is the same.
    std::ranges::fill(x.span(), std::uint8_t{0});
    std::ranges::copy(answer.bytes().first(size), x.span().last(size).begin());
    // libcrypto refuses infinity itself; from a token, no coordinate at all would look like this.
    if (std::ranges::all_of(x.bytes(), [](std::uint8_t each) { return each == 0; }))
        throw Error("HPKE: the key agreement gave no point");
}

}  // namespace stek::hpke
