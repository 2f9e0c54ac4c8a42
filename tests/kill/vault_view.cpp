#include "tests/kill/vault_view.hpp"

#include "daemon/access.hpp"
#include "daemon/state.hpp"
#include "daemon/tokens.hpp"

#include <set>

namespace fs = std::filesystem;

namespace stek::test {
namespace {

using pkcs11::Module;

/// Initialised for as long as it lives.
struct Visit {
    explicit Visit(const daemon::Config& config)
        : module(
              Module::initialize(pkcs11::Library::map(*config.vault.module_path()), config.module_config)) {}
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() { module->finalize(); }
    std::shared_ptr<Module> module;
};

std::string serial_of(const daemon::Config& config) {
    const Visit visit(config);
    return pkcs11::Token::find(visit.module, config.vault)->serial();
}

/// Each object has a file and SoftHSM's lock beside it; the token itself three.
void look_at_token(const fs::path& token, std::size_t objects, std::vector<std::string>& found) {
    const std::set<std::string> of_the_token{"token.object", "token.lock", "generation"};
    std::size_t seen = 0, locks = 0;
    for (const auto& entry : fs::directory_iterator(token)) {
        const auto name = entry.path().filename().string();
        if (entry.path().extension() == ".object" && entry.file_size() == 0)
            found.push_back(entry.path().string() + " is empty");
        if (of_the_token.contains(name))
            continue;
        if (entry.path().extension() == ".object")
            ++seen;
        else if (entry.path().extension() == ".lock")
            ++locks;
        else
            found.push_back(entry.path());
    }
    if (seen != objects || locks != objects)
        found.push_back(token.string() + ": " + std::to_string(seen) + " objects and " +
                        std::to_string(locks) + " locks instead of " + std::to_string(objects));
}

void look_at_directory(const fs::path& directory, const std::set<std::string>& known,
                       std::vector<std::string>& found) {
    for (const auto& entry : fs::directory_iterator(directory))
        if (!known.contains(entry.path().filename()))
            found.push_back(entry.path());
}

}  // namespace

std::optional<ChainPosition> chain_position(const daemon::Config& config) {
    const Visit visit(config);
    const auto token = pkcs11::Token::find(visit.module, config.vault);
    pkcs11::Session session(token, pkcs11::Access::read_write);
    daemon::log_in(session, config.vault, true);
    return Chain(session).position();
}

std::vector<std::string> leftovers(const daemon::Config& config) {
    std::vector<std::string> found;
    look_at_directory(config.state, {"lock", "state.json", "tokens"}, found);
    look_at_directory(fs::path(config.keyring).parent_path(), {"keyring", "stats", "control", "metrics"},
                      found);
    const auto state = daemon::StateDirectory::peek(config.state);
    const fs::path vault = daemon::softhsm_token_directory(config.module_config, serial_of(config));
    const fs::path ticket = daemon::softhsm_token_directory(config.module_config, state.token_serial);
    look_at_token(vault, 1, found);
    look_at_token(ticket, 2 * state.memory.pairs.size(), found);
    look_at_directory(fs::path(config.state) / "tokens", {vault.filename(), ticket.filename()}, found);
    look_at_directory(vault.parent_path(), {vault.filename(), ticket.filename()}, found);
    return found;
}

}  // namespace stek::test
