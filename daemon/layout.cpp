#include "daemon/layout.hpp"

namespace stek::daemon {

Layout layout_in(const std::string& directory, const std::string& token_dir) {
    return {.configuration = directory,
            .tokens = token_dir.empty() ? directory + "/tokens" : token_dir,
            .keyring = directory + "/run/keyring",
            .stats = directory + "/run/stats",
            .state = directory + "/state",
            .control = directory + "/run/control",
            .vault_pin_source = "file:" + directory + "/pins/vault.pin",
            .remake_pins = directory + "/pins"};
}

Layout system_layout() {
    const std::string live = "/run/stekd/live";
    return {.configuration = "/etc/stekd",
            .tokens = live + "/tokens",
            .keyring = live + "/keyring",
            .stats = live + "/stats",
            .state = std::string(system_state) + "/state",
            .control = "/run/stekd/control",
            .vault_pin_source = "credential:vault.pin",
            .remake_pins = live + "/pins"};
}

}  // namespace stek::daemon
