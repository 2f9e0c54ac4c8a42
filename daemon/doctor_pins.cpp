// What doctor sees of PINs: where they come from and who may read them, never what they are.
#include "daemon/doctor.hpp"

#include <cstring>
#include <filesystem>
#include <string>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

using pkcs11::PinSource;

/// Where stekd.service takes its credentials from: LoadCredential=vault.pin:/etc/stekd/pins/vault.pin
std::string credential_file(const Site& site, const std::string& name) {
    return (std::filesystem::path(site.config.file).parent_path() / "pins" / name).string();
}

struct PinRule {
    std::string subject;
    mode_t forbidden;  ///< bits of the mode that let too many read it
    const char* mode;  ///< the remedy's
};

void look_at_file(Diagnosis& diagnosis, const PinRule& rule, const std::string& file, bool from_unit) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
        const int error = errno;
        if (error == EACCES)
            diagnosis.note(rule.subject, file + " is not ours to look at", "sudo stekctl doctor");
        else if (from_unit && error == ENOENT && !file.starts_with("/etc/stekd/"))
            diagnosis.note(rule.subject, "a credential of the unit's; it is not in " + file);
        else
            diagnosis.fail(rule.subject, file + ": " + std::strerror(error),
                           "put the PIN there again from your backup: install -m 600 BACKUP " + file);
    } else if (!S_ISREG(status.st_mode)) {
        diagnosis.fail(rule.subject, file + " is no file", "put the PIN there in a file, chmod 600");
    } else if (status.st_size == 0) {
        diagnosis.fail(rule.subject, file + " is empty",
                       "put the PIN there again from your backup: install -m 600 BACKUP " + file);
    } else if ((status.st_mode & rule.forbidden) != 0) {
        diagnosis.fail(rule.subject, file + " can be read or changed by others than its owner",
                       std::string("chmod ") + rule.mode + " " + file);
    } else {
        diagnosis.fine(rule.subject, file);
    }
}

void look_at_source(Diagnosis& diagnosis, const Site& site, const PinRule& rule, const std::string& text) {
    const auto source = PinSource::parse(text);
    if (!source)
        diagnosis.fail(rule.subject, "its pin-source is none of file:, credential:, prompt: and a path",
                       "pin-source=file:/... in " + site.config.file);
    else if (source->kind == PinSource::Kind::prompt)
        diagnosis.warn(rule.subject, "it is asked for on a terminal: stekd cannot start by itself",
                       "pin-source=file:/... in " + site.config.file);
    else if (source->kind == PinSource::Kind::credential)
        look_at_file(diagnosis, rule, credential_file(site, source->name), true);
    else
        look_at_file(diagnosis, rule, source->name, false);
}

}  // namespace

void diagnose_pins(Diagnosis& diagnosis, const Site& site) {
    for (const auto& token : site.tokens)
        if (const auto& source = token.uri.pin_source())
            look_at_source(diagnosis, site, {token.name + " PIN", 0077, "600"}, *source);
        else
            diagnosis.note(token.name + " PIN", "none: the token has a PIN pad, or wants no login");
    // Servers may share this one by their group.
    if (const auto& ticket = site.config.ticket.pin_source())
        look_at_source(diagnosis, site, {"ticket PIN", 0027, "640"}, *ticket);
}

}  // namespace stek::daemon
