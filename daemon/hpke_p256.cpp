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

}  // namespace

KeyPtr make_key() {
    KeyPtr key(EVP_EC_gen("P-256"));
    if (!key)
        throw Error("HPKE: no P-256 key can be made: " + newest_reason());
    return key;
}

KeyPtr parse_point(Bytes point, const char* what) {
    const auto refused = [what](const std::string& why) { return Error(std::string("HPKE: ") + what + why); };
    if (point.size() != Point{}.size())
        throw refused(": " + std::to_string(point.size()) + " bytes, 65 are needed");
    if (point.front() != uncompressed)
        throw refused(" is not an uncompressed point");
    char group[] = "P-256";
    std::array<OSSL_PARAM, 3> params{
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<std::uint8_t*>(point.data()),
                                          point.size()),
        OSSL_PARAM_construct_end(),
    };
    const Context maker(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    if (!maker || EVP_PKEY_fromdata_init(maker.get()) != 1)
        throw Error("HPKE: libcrypto has no elliptic curves");
    EVP_PKEY* made = nullptr;
    const bool is_made = EVP_PKEY_fromdata(maker.get(), &made, EVP_PKEY_PUBLIC_KEY, params.data()) == 1;
    KeyPtr key(made);
    if (!is_made)
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
        EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
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
