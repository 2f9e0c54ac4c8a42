// What the ticket callback and the cipher tell each other about one ticket.
//
//   offset  size  a ticket as libssl puts it together                      made by
//        0    16  key name                                                 callback
//       16    12  IV, random                                               callback
//       28     n  AES-256-GCM ciphertext of: time of the full handshake    cipher (update)
//                 (8 bytes, Unix seconds, big-endian), then the session
//     28+n    16  GCM tag                                                  cipher (final)
//     44+n    32  HMAC-SHA256 over all before it                           libssl
//
// The additional data of GCM is "stekd ticket v1" (15 bytes), the key name (16), the audience (32).
// The key of the HMAC is HMAC-SHA256(the record's admission key, audience).
#pragma once

#include "provider/key_ring.hpp"

#include <array>
#include <cstdint>

namespace stek {

inline constexpr std::size_t lineage_size = 8;
inline constexpr std::size_t ticket_aad_size = 15 + 16 + 32;

std::array<std::uint8_t, ticket_aad_size> ticket_aad(const KeyName& name, const Audience& audience) noexcept;
/// Writes the key of the ticket's HMAC, which the record then remembers. False if libcrypto fails.
bool ticket_mac_key(const RingRecord& record, const Audience& audience, SecretArray<32>& out) noexcept;

/// One connection's ticket business; lives in the SSL's ex_data, so longer than any cipher context that
/// libssl makes for it.
struct TicketExchange {
    std::int64_t lineage = 0;        ///< sealing: the time of the full handshake to put in
    std::int64_t lineage_limit = 0;  ///< opening: older than this is declined
    std::int64_t lineage_cap = 0;    ///< opening: no later than this (the record's seal_until)
    bool opened = false;             ///< set by the cipher: a ticket was opened, `lineage` is its time
    Audience audience{};             ///< of the ticket at hand
};

/// The cipher's private parameter: an OSSL_PARAM octet_ptr to a TicketExchange. Puts the cipher in ticket
/// mode (time in front of the plaintext, random bytes if the token fails while sealing). Not among the
/// settable parameters it advertises.
inline constexpr char ticket_param[] = "stek-ticket-exchange";
inline constexpr char key_name_param[] = "key-name";

}  // namespace stek
