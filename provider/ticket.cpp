#include "provider/ticket.hpp"

#include <cstring>

#include <openssl/evp.h>
#include <openssl/hmac.h>

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
    unsigned size = 0;
    return HMAC(EVP_sha256(), record.admission_key.data(), admission_key_size, audience.data(),
                audience.size(), out.data(), &size) != nullptr &&
           size == 32;
}

}  // namespace stek
