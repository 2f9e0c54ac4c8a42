// The vault session of one provider context, opened when first needed.
#pragma once

#include "provider/kdf.hpp"
#include "provider/settings.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace stek {

/// VaultAccess by the provider's settings: `token` is the vault's URI with module-path and, where there is a
/// PIN, pin-source. Nothing is opened before the first session(). Thread-safe; a forked child opens its own.
class TokenVault : public VaultAccess {
  public:
    explicit TokenVault(const Settings& settings)
        : uri_(settings.token), module_config_(settings.module_config) {}
    TokenVault(const TokenVault&) = delete;
    TokenVault& operator=(const TokenVault&) = delete;
    ~TokenVault() override;
    pkcs11::Session& session(std::unique_lock<std::mutex>& lock) override;

  private:
    struct State;
    State& state();
    pkcs11::TokenUri uri_;
    std::string module_config_;
    std::atomic<State*> state_{nullptr};
};

std::unique_ptr<VaultAccess> make_vault_access(const Settings& settings);

}  // namespace stek
