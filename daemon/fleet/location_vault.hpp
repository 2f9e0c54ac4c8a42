// A location's vault token at work.
#pragma once

#include "daemon/deriver.hpp"
#include "daemon/fleet/vault_work.hpp"
#include "provider/vault.hpp"

namespace stek::fleet {

/// All is borrowed, and must outlive the object: the vault's session (logged in, read-write), its keys, and
/// the provider, which has a session of its own. One thread at a time.
class LocationVault : public VaultWork {
  public:
    LocationVault(pkcs11::Session& session, TokenKeys& keys, const daemon::Deriver& deriver)
        : session_(&session), keys_(&keys), deriver_(&deriver) {}

    /// Throws pkcs11::TokenError if the chain is not a fleet's: its index is not its epoch.
    std::optional<std::uint64_t> chain_epoch() override;
    void advance_chain(std::uint64_t to_epoch) override;
    std::vector<std::uint64_t> pre_keys() override;
    TokenKey make_pre_key(std::uint64_t epoch) override;
    std::optional<TokenKey> pre_key(std::uint64_t epoch) override;
    void destroy_pre_key(std::uint64_t epoch) override;
    void derive(KeyId key, const HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash oaep,
                WrappedSteks& out) override;

  private:
    pkcs11::Session* session_;
    TokenKeys* keys_;
    const daemon::Deriver* deriver_;
};

}  // namespace stek::fleet
