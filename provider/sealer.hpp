// Who seals and opens: the seam between the cipher and whatever holds the STEK.
#pragma once

#include "provider/key_ring.hpp"

#include <cstdint>
#include <memory>

namespace stek {

inline constexpr std::size_t gcm_iv_size = 12;
inline constexpr std::size_t gcm_tag_size = 16;

enum class SealStatus {
    ok,
    bad_tag,    ///< opening only: the key is fine, the ciphertext is not
    no_key,     ///< no such key, or its pair is gone (revoked)
    token_down  ///< the token cannot be used now; retried later with back-off
};

/// AES-256-GCM under a named STEK. Implementations are thread-safe and never throw. The token's session is
/// one; a broker process will be another.
class Sealer {
  public:
    virtual ~Sealer() = default;
    /// Makes the record's key usable (one RSA operation the first time); cheap afterwards. The ticket
    /// callback asks this before it promises anything to libssl. Keys whose records have left `ring` are
    /// given up.
    virtual SealStatus prepare(const std::shared_ptr<const KeyRing>& ring,
                               const RingRecord& record) noexcept = 0;
    /// Gives up the keys that have no record in `ring`; null: every one. For who has no record to prepare:
    /// the ring is gone, or nobody comes. False if a key may still be there: ask again.
    virtual bool keep_only(const std::shared_ptr<const KeyRing>& ring) noexcept = 0;
    /// out: plaintext.size() + 16 bytes, ciphertext then tag. Wiped unless ok.
    virtual SealStatus seal(const KeyName& key, Bytes iv, Bytes aad, Bytes plaintext,
                            std::uint8_t* out) noexcept = 0;
    /// in: ciphertext then tag, at least 16 bytes. out: in.size() bytes of room (Cryptoki may ask for the
    /// tag's room too); the plaintext is the first in.size() - 16. Wiped unless ok.
    virtual SealStatus open(const KeyName& key, Bytes iv, Bytes aad, Bytes in,
                            std::uint8_t* out) noexcept = 0;
    /// Takes one of the tickets that this process may still seal under the key: false once its share is used
    /// up.
    virtual bool take_share(const KeyName& key) noexcept = 0;
};

}  // namespace stek
