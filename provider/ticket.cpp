#include "provider/ticket.hpp"

#include "provider/fetched.hpp"

#include <cstring>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace stek {

std::array<std::uint8_t, ticket_aad_size> ticket_aad(const KeyName& name, const Audience& audience) noexcept {
    constexpr char label[] = "stekd ticket v1";
    static_assert(sizeof label - 1 + sizeof(KeyName) + sizeof(Audience) == ticket_aad_size);
    std::array<std::uint8_t, ticket_aad_size> aad{};
    std::memcpy(aad.data(), label, sizeof label - 1);
    std::memcpy(aad.data() + sizeof label - 1, name.data(), name.size());
    std::memcpy(aad.data() + sizeof label - 1 + name.size(), audience.data(), audience.size());
    return aad;
}

namespace {

using MacKey = SecretArray<32>;

bool compute_mac_key(const RingRecord& record, const Audience& audience, MacKey& out) noexcept {
    const auto mac = new_hmac_sha256();
    std::size_t size = 0;
    return mac && EVP_MAC_init(mac.get(), record.admission_key.data(), admission_key_size, nullptr) == 1 &&
           EVP_MAC_update(mac.get(), audience.data(), audience.size()) == 1 &&
           EVP_MAC_final(mac.get(), out.data(), &size, 32) == 1 && size == 32;
}

/// What a thread has computed, with all that it was computed from: a server asks for the same few keys again
/// and again, and each costs more than a microsecond.
struct KnownMacKey {
    bool known = false;
    SecretArray<admission_key_size> admission_key;
    Audience audience{};
    MacKey key;

    [[nodiscard]] bool is_of(const RingRecord& record, const Audience& wanted) const noexcept {
        return known && audience == wanted &&
               CRYPTO_memcmp(admission_key.data(), record.admission_key.data(), admission_key_size) == 0;
    }
};
constexpr std::size_t known_mac_keys = 16;
thread_local std::array<KnownMacKey, known_mac_keys> mac_keys;

}  // namespace

bool ticket_mac_key(const RingRecord& record, const Audience& audience, SecretArray<32>& out) noexcept {
    // Both are hashes: any of their bits will do.
    KnownMacKey& place = mac_keys[(record.name[0] ^ audience[0]) % known_mac_keys];
    if (!place.is_of(record, audience)) {
        place.known = compute_mac_key(record, audience, place.key);
        if (!place.known) {
            return false;
        }
        std::memcpy(place.admission_key.data(), record.admission_key.data(), admission_key_size);
        place.audience = audience;
    }
    std::memcpy(out.data(), place.key.data(), MacKey::size());
    return true;
}

}  // namespace stek
