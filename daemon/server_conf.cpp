// openssl.cnf for servers. It includes the site's own file, so that its policy (MinProtocol and the like)
// stays in force, and the site's file is never edited. Sections of the same name go on where the site's left
// off; which ones those are is read from it: Debian's says openssl_conf = openssl_init, others say otherwise.
#include "daemon/init.hpp"

#include <filesystem>
#include <memory>

#include <openssl/conf.h>
#include <openssl/err.h>

namespace stek::daemon {
namespace {

struct FreeConf {
    void operator()(CONF* conf) const noexcept { NCONF_free(conf); }
};
using ConfPtr = std::unique_ptr<CONF, FreeConf>;

std::string value_or(const ConfPtr& conf, const char* section, const char* name,
                     const std::string& otherwise) {
    const char* value = conf ? NCONF_get_string(conf.get(), section, name) : nullptr;
    ERR_clear_error();
    return value != nullptr ? value : otherwise;
}

}  // namespace

std::string server_openssl_cnf(const InitOptions& options, const std::string& site) {
    ConfPtr conf;
    if (std::filesystem::exists(site)) {
        conf.reset(NCONF_new(nullptr));
        if (!conf || NCONF_load(conf.get(), site.c_str(), nullptr) != 1) {
            ERR_clear_error();
            throw std::runtime_error(site + " cannot be understood");
        }
    }
    const auto init = value_or(conf, nullptr, "openssl_conf", "stekd_init");
    const auto providers = value_or(conf, init.c_str(), "providers", "stekd_providers");
    // A provider that is activated by name makes the default one go unless that is activated too.
    const auto standard = value_or(conf, providers.c_str(), "default", "stekd_default");
    const auto layout = layout_of(options);

    std::string text = "# For TLS servers: OPENSSL_CONF=" + layout.in_configuration("openssl.cnf") + "\n";
    if (conf)
        text += ".include " + site + "\n";
    text += "\n[default]\nopenssl_conf = " + init + "\n\n[" + init + "]\nproviders = " + providers + "\n\n[" +
            providers + "]\ndefault = " + standard + "\nstek = stek\n\n[" + standard + "]\nactivate = 1\n\n";
    text += "[stek]\nmodule = " + options.provider + "\nactivate = 1\n";
    text += "token = pkcs11:token=stekd-ticket?module-path=" + options.module + "\n";
    text += "module-config = " + layout.in_configuration("softhsm2.conf") + "\n";
    text += "location = " + options.location + "\nkeyring = " + layout.keyring + "\nstats = " + layout.stats +
            "\nstale-epochs = " + std::to_string(options.stale_epochs) + "\n";
    return text;
}

}  // namespace stek::daemon
