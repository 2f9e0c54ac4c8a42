#include "provider/ticket.hpp"

#include "provider/fetched.hpp"

#include <cstring>

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

bool ticket_mac_key(const RingRecord& record, const Audience& audience, SecretArray<32>& out) noexcept {
    if (record.mac_keys.find(audience, out)) {
        return true;
    }
    const auto mac = new_hmac_sha256();
    std::size_t size = 0;
    if (!mac || EVP_MAC_init(mac.get(), record.admission_key.data(), admission_key_size, nullptr) != 1 ||
        EVP_MAC_update(mac.get(), audience.data(), audience.size()) != 1 ||
        EVP_MAC_final(mac.get(), out.data(), &size, 32) != 1 || size != 32) {
        return false;
    }
    record.mac_keys.remember(audience, out);
    return true;
}

}  // namespace stek
