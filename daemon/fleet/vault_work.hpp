// What a location asks of its vault token: the seam that unit tests fill in.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/token_keys.hpp"
#include "provider/schedule.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace stek::fleet {

/// The chain, the pre-keys and STEK-KDF. All may throw what a token throws (std::runtime_error); what was
/// done stays.
class VaultWork {
  public:
    virtual ~VaultWork() = default;
    /// The chain's epoch; nothing before the ceremony.
    virtual std::optional<std::uint64_t> chain_epoch() = 0;
    /// Never back. The keys of earlier epochs are destroyed on return.
    virtual void advance_chain(std::uint64_t to_epoch) = 0;
    /// The epochs of all pre-keys in the token, half-made ones too, sorted.
    virtual std::vector<std::uint64_t> pre_keys() = 0;
    virtual TokenKey make_pre_key(std::uint64_t epoch) = 0;
    /// Nothing if there is no whole one.
    virtual std::optional<TokenKey> pre_key(std::uint64_t epoch) = 0;
    virtual void destroy_pre_key(std::uint64_t epoch) = 0;
    /// K of (epoch, revision), by STEK-KDF, wrapped to each public key (DER SubjectPublicKeyInfo, RSA). In
    /// one call, for to derive K costs more than to wrap it.
    virtual void derive(KeyId key, const HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash oaep,
                        WrappedSteks& out) = 0;
};

}  // namespace stek::fleet
