#include "daemon/check_server.hpp"

#include "provider/settings.hpp"

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/err.h>

namespace stek::daemon {
namespace {

using Values = std::map<std::string, std::string>;

struct FreeConf {
    void operator()(CONF* conf) const noexcept { NCONF_free(conf); }
};

[[noreturn]] void wrong(const std::string& what) {
    throw std::runtime_error(what);
}

class ServerConf {
  public:
    explicit ServerConf(const std::string& file) : file_(file), conf_(NCONF_new(nullptr)) {
        long line = 0;
        if (!std::filesystem::is_regular_file(file))
            wrong("there is no file " + file);
        const bool loaded = conf_ && NCONF_load(conf_.get(), file.c_str(), &line) == 1;
        ERR_clear_error();
        if (!loaded)
            wrong(file + (line > 0 ? ", line " + std::to_string(line) : "") + ": cannot be understood");
    }
    /// A value outside of sections, or in one; throws if there is none.
    [[nodiscard]] std::string value(const char* section, const std::string& name) const {
        const char* found = NCONF_get_string(conf_.get(), section, name.c_str());
        ERR_clear_error();
        if (found == nullptr)
            wrong(file_ + ": there is no " + name +
                  (section != nullptr ? std::string(" in [") + section + "]" : ""));
        return found;
    }
    [[nodiscard]] Values section(const std::string& name) const {
        const STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf_.get(), name.c_str());
        ERR_clear_error();
        if (values == nullptr)
            wrong(file_ + ": there is no section [" + name + "]");
        Values all;
        for (int i = 0; i < sk_CONF_VALUE_num(values); ++i)
            all[sk_CONF_VALUE_value(values, i)->name] = sk_CONF_VALUE_value(values, i)->value;
        return all;
    }

  private:
    std::string file_;
    std::unique_ptr<CONF, FreeConf> conf_;
};

void compare(const std::string& key, const std::string& servers, const std::string& in_toml,
             const std::string& stekds) {
    if (servers != stekds)
        wrong(key + " = " + servers + ", but " + in_toml + " = " + stekds);
}

/// A server's URI may leave out what stekd's names, but for the label; it must not name anything else.
void check_token(const pkcs11::TokenUri& servers, const pkcs11::TokenUri& stekds) {
    compare("module-path of token", servers.module_path().value_or(""), "that of ticket.uri",
            stekds.module_path().value_or(""));
    compare("token's label", servers.token_label().value_or(""), "that of ticket.uri",
            stekds.token_label().value_or(""));
    const auto meant = stekds.choice();
    for (const auto& [attribute, value] : servers.choice()) {
        const auto same = meant.find(attribute);
        compare("token's " + attribute, value, "that of ticket.uri",
                same != meant.end() ? same->second : "(none)");
    }
}

/// Whether it is the right PIN, nobody may try: tokens lock themselves.
void check_pin(const pkcs11::TokenUri& uri, const Config& config) {
    const auto& source = uri.pin_source();
    if (!source && config.private_pairs)
        wrong("token: no pin-source, but ticket.private_pairs = true: servers have to log in");
    if (!source)
        return;
    const auto from = pkcs11::PinSource::parse(*source).value();
    if (from.kind == pkcs11::PinSource::Kind::prompt)
        wrong("token: pin-source = prompt: a server cannot ask");
    // A credential is of the server's unit, which is not ours.
    if (from.kind == pkcs11::PinSource::Kind::file &&
        (::access(from.name.c_str(), R_OK) == 0 || errno != EACCES))
        static_cast<void>(pkcs11::read_pin(*source));
}

void check_section(const Values& section, const Config& config) {
    const auto settings = parse_settings(section);
    if (settings.attach == Attach::no)
        wrong("attach = no: servers get no tickets of stekd's");
    compare("keyring", settings.keyring, "paths.keyring", config.keyring);
    if (!settings.location.empty())
        compare("location", settings.location, "location", config.location);
    compare("stale-epochs", std::to_string(settings.stale_epochs), "stale_epochs",
            std::to_string(config.stale_epochs));
    if (!settings.stats.empty())
        compare("stats", settings.stats, "paths.stats", config.stats);
    if (!settings.module_config.empty())
        compare("module-config", settings.module_config, "paths.module_config", config.module_config);
    check_token(settings.token, config.ticket);
    check_pin(settings.token, config);
}

}  // namespace

std::string check_server_config(const Config& config) {
    namespace fs = std::filesystem;
    const ServerConf conf(config.server_config);
    const auto providers = conf.section(conf.value(conf.value(nullptr, "openssl_conf").c_str(), "providers"));
    bool standard = false, ours = false;
    for (const auto& [provider, name] : providers) {
        const auto section = conf.section(name);
        if (!section.contains("activate"))
            continue;
        // Without a module it is one of OpenSSL's own; only `default` and `fips` have what TLS needs.
        const auto module = section.find("module");
        standard |= provider == "default" || provider == "fips";
        if (module == section.end() ||
            fs::path(module->second).filename() != fs::path(config.provider).filename())
            continue;
        ours = true;
        try {
            compare("module", module->second, "paths.provider", config.provider);
            check_section(section, config);
        } catch (const std::exception& error) {
            wrong(config.server_config + ": [" + name + "]: " + error.what());
        }
    }
    if (!ours)
        wrong(config.server_config + ": no active provider has module = " + config.provider);
    if (!standard)
        wrong(config.server_config + ": with stek alone no TLS works: activate the provider default too");
    return config.server_config;
}

}  // namespace stek::daemon
