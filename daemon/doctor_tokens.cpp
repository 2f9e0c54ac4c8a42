// What doctor sees of OpenSSL, the provider, the PKCS#11 module and the tokens.
#include "daemon/access.hpp"
#include "daemon/deriver.hpp"
#include "daemon/doctor.hpp"
#include "daemon/layout.hpp"
#include "daemon/looks.hpp"
#include "daemon/state.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <unistd.h>

#include <openssl/crypto.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

/// Null if there is none that can be read: diagnose_ring() tells it.
std::shared_ptr<const KeyRing> ring_of(const Config& config) {
    try {
        return read_ring_file(config.keyring);
    } catch (const std::exception&) {
        return {};
    }
}

/// The serial that the ring's keys are wrapped for; empty if there is no ring.
std::string ring_serial(const Config& config) {
    const auto ring = ring_of(config);
    return ring ? ring->token_serial : "";
}

std::set<PairId> pairs_named(const std::shared_ptr<const KeyRing>& ring) {
    std::set<PairId> pairs;
    if (ring)
        for (const auto& record : ring->records)
            pairs.insert(record->pair);
    return pairs;
}

/// A token that was not found. SoftHSM shows each user the tokens whose files it may read.
void report_missing(Diagnosis& diagnosis, const std::string& subject, const std::string& what,
                    const std::string& remedy) {
    if (::geteuid() != 0)
        diagnosis.note(subject, what, "sudo stekctl doctor");
    else
        diagnosis.fail(subject, what, remedy);
}

std::string how_to_get_back(const Site& site, const OwnToken& token) {
    const auto tokens = softhsm_tokens_directory(site.config.module_config);
    if (tokens.empty())
        return "connect the token, or correct " + token.setting + " in " + site.config.file;
    return "put its files back " + (site.is_system ? std::string("in ") + system_vault : "below " + tokens) +
           " from a backup, or " + token.anew;
}

/// SoftHSM does not even start without them.
bool look_for_tokens(Diagnosis& diagnosis, const Site& site) {
    const char* subject = "tokens";
    const auto tokens = softhsm_tokens_directory(site.config.module_config);
    if (tokens.empty() || ::access(tokens.c_str(), R_OK | X_OK) == 0)
        return true;
    if (errno == EACCES)
        diagnosis.note(subject, tokens + " may not be read by this user", "sudo stekctl doctor");
    else if (site.is_system)
        diagnosis.fail(subject, "there is no " + tokens,
                       site.restart_command() + "  (stekd makes it, and the ticket token in it)");
    else
        diagnosis.fail(subject, "there is no " + tokens, how_to_get_back(site, site.tokens.front()));
    return false;
}

// stekd.service sees its token in a mount namespace of its own; from outside it is elsewhere.
void look_at_own_token(Diagnosis& diagnosis, const Site& site, const OwnToken& token,
                       const std::shared_ptr<pkcs11::Module>& module) {
    const auto subject = token.name + " token";
    try {
        diagnosis.fine(subject, look_at_token(module, token.uri, token.mechanisms));
    } catch (const std::exception& error) {
        std::error_code ignored;
        if (site.status.health && site.status.health->tokens_open)
            diagnosis.fine(subject, "stekd has it open");
        else if (site.is_system && fs::exists(std::string(system_vault) + "/token.object", ignored))
            diagnosis.fine(subject,
                           std::string("in ") + system_vault + ", which stekd.service shows to stekd alone");
        else
            report_missing(diagnosis, subject, error.what(), how_to_get_back(site, token));
    }
}

void look_at_ticket_token(Diagnosis& diagnosis, const Site& site,
                          const std::shared_ptr<pkcs11::Module>& module) {
    const auto serial = ring_serial(site.config);
    const char* subject = "ticket token";
    const auto restart = site.restart_command();
    try {
        const auto seen = look_at_token(module, site.config.ticket, ticket_mechanisms(true), serial);
        diagnosis.fine(subject, seen);
        if (!serial.empty() && !seen.ends_with("serial " + serial))
            diagnosis.fail(subject,
                           "the key ring is for the token of serial " + serial +
                               ", which is not there: no server can use it",
                           restart);
    } catch (const std::exception& error) {
        const bool is_softhsms = !softhsm_tokens_directory(site.config.module_config).empty();
        report_missing(diagnosis, subject, error.what(),
                       !is_softhsms
                           ? "connect the token, or correct " + site.names.ticket + " in " + site.config.file
                       : site.config.remake_pins.empty()
                           ? "put the token back, or set " + site.names.remake_pins + " in " +
                                 site.config.file + " and stekd makes it anew: " + restart
                           : restart + "  (stekd makes it anew)");
    }
}

// What a pair that is gone was for opens no ticket, and no server takes it anew.
void look_at_pairs(Diagnosis& diagnosis, const Site& site, const std::shared_ptr<pkcs11::Module>& module) {
    const char* subject = "key pairs";
    const auto& config = site.config;
    if (config.private_pairs)
        return diagnosis.note(subject,
                              "not looked for: they are private, and that takes a login to the token");
    const auto before = ring_of(config);
    if (!before)
        return;
    try {
        pkcs11::Session session(pkcs11::Token::find(module, config.ticket, before->token_serial),
                                pkcs11::Access::read_only);
        if (session.token().serial() != before->token_serial)
            return;  // look_at_ticket_token() tells it
        const auto there = list_ticket_pairs(session);
        // A stekd that runs may just be rotating: what was in the ring before and is after, was all the time.
        const auto after = pairs_named(ring_of(config));
        std::vector<std::string> missing;
        for (const auto& pair : pairs_named(before))
            if (after.contains(pair) && !std::binary_search(there.begin(), there.end(), pair))
                missing.push_back(hex(pair));
        if (missing.empty())
            diagnosis.fine(subject, "the ticket token has each that the key ring names");
        else
            diagnosis.fail(subject,
                           "not in the ticket token, though the key ring names them: " + in_a_row(missing) +
                               "; servers cannot use the keys wrapped to them",
                           site.reload_command());
    } catch (const std::exception&) {
        return;  // look_at_ticket_token() tells it
    }
}

std::string settings_with_the_module(const Site& site) {
    std::vector<std::string> settings;
    for (const auto& token : site.tokens)
        settings.push_back(token.setting);
    if (site.has_ring())
        settings.push_back(site.names.ticket);
    return in_a_row(settings);
}

/// Whether its stekd makes STEKs: it has a vault.
bool derives(const Config& config) {
    return config.vault.module_path().has_value();
}

// With any token that is here: it is the loading that is tried.
std::string load_provider(const Site& site) {
    auto config = site.config;
    config.vault = site.tokens.front().uri;
    const Deriver deriver(config);
    return config.provider;
}

}  // namespace

void diagnose_openssl(Diagnosis& diagnosis) {
    constexpr unsigned long oldest = 0x30000060UL, too_new = 0x30200000UL;  // OPENSSL_VERSION_NUMBER(3)
    const std::string version = OpenSSL_version(OPENSSL_VERSION);
    if (OpenSSL_version_num() < oldest)
        diagnosis.fail("OpenSSL", version + ": before 3.0.6 a ticket that is declined breaks TLS 1.3",
                       "apt-get install libssl3");
    else if (OpenSSL_version_num() >= too_new)
        diagnosis.fail("OpenSSL", version + ": the provider does not attach to 3.2 and later",
                       "servers that are linked to OpenSSL 3.0 or 3.1");
    else
        diagnosis.fine("OpenSSL", version);
}

void diagnose_tokens(Diagnosis& diagnosis, const Site& site) {
    const auto& config = site.config;
    std::shared_ptr<pkcs11::Module> module;
    const bool usable =
        look_for_tokens(diagnosis, site) &&
        diagnosis.look(
            "PKCS#11 module",
            [&] {
                const auto& path = *site.tokens.front().uri.module_path();
                module = pkcs11::Module::initialize(pkcs11::Library::map(path), config.module_config);
                return path;
            },
            "apt-get install softhsm2, or correct module-path in " + settings_with_the_module(site) +
                ", and paths.module_config, of " + config.file);
    const bool loads_provider = !config.provider.empty() && (site.has_ring() || derives(config));
    if (!usable) {
        if (loads_provider)
            diagnosis.note("provider", "not loaded, for it loads the module");
        return;
    }
    for (const auto& token : site.tokens)
        look_at_own_token(diagnosis, site, token, module);
    if (site.has_ring()) {
        look_at_ticket_token(diagnosis, site, module);
        look_at_pairs(diagnosis, site, module);
    }
    if (loads_provider)
        diagnosis.look(
            "provider", [&] { return load_provider(site); },
            "install it (units/install), or correct paths.provider in " + config.file);
    module->finalize();
    if (site.has_ring())
        diagnose_enforcement(diagnosis, site);
}

}  // namespace stek::daemon
