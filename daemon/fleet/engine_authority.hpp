// Who signs the certificates of an engine's servers and parties: a key beside the fleet's root key, in the
// same token.
#pragma once

#include "daemon/fleet/certificates.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/nats_files.hpp"
#include "daemon/fleet/token_session.hpp"
#include "daemon/state.hpp"

#include <string>
#include <vector>

namespace stek::fleet {

/// For one command, on a configuration with [root] and engine.nats. Holds the state directory. Throws
/// ConfigError, AnotherStekd, and as TokenSession and certificates.hpp. What it makes is in engine.tls:
/// authority.crt; root.crt and root.key, by which stekctl connects; servers/<name>/, see write_nats_files().
class EngineAuthority {
  public:
    /// `make`: key, certificate and root's own are made where they are missing. Else, and where
    /// authority.crt is another key's, daemon::WouldOverwrite or EnrolmentRefused.
    enum class Missing : std::uint8_t { make, refuse };
    EngineAuthority(const FleetConfig& config, Missing missing);

    /// Files for these servers; those that are there stay.
    void write_servers(const std::vector<NatsServer>& servers);
    /// A certificate for that party, which is let in from now on: once grants.conf is at the servers.
    CertificatePtr certify(const NatsParty& party, EVP_PKEY* its_key, unsigned days);
    /// False if it was not let in. Its certificate stays good, and opens nothing.
    bool withdraw(const NatsParty& party);
    [[nodiscard]] std::string servers_directory() const { return config_.nats->tls + "/servers"; }

  private:
    void find_authority(Missing missing);
    void make_own_certificate();
    [[nodiscard]] Authority authority() const { return {certificate_.get(), key_->key.get()}; }
    [[nodiscard]] std::string grants() const;
    void save();

    const FleetConfig& config_;
    daemon::StateDirectory held_;
    TokenSession token_;
    std::optional<TokenKey> key_;
    CertificatePtr certificate_;
    std::vector<NatsParty> parties_;
};

}  // namespace stek::fleet
