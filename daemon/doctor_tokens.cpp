// What doctor sees of OpenSSL, the provider, the PKCS#11 module and the tokens.
#include "daemon/access.hpp"
#include "daemon/deriver.hpp"
#include "daemon/doctor.hpp"
#include "daemon/init_parts.hpp"
#include "daemon/layout.hpp"
#include "daemon/looks.hpp"
#include "daemon/state.hpp"
#include "daemon/token_maker.hpp"
#include "pkcs11/session.hpp"
#include "provider/file.hpp"
#include "provider/ticket_token.hpp"
#include "provider/vault.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <unistd.h>

#include <openssl/crypto.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

std::string list(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

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
void report_missing(Diagnosis& diagnosis, const char* subject, const std::string& what,
                    const std::string& remedy) {
    if (::geteuid() != 0)
        diagnosis.note(subject, what, "sudo stekctl doctor");
    else
        diagnosis.fail(subject, what, remedy);
}

/// Nothing of it can be made again but a new one.
std::string how_to_get_a_vault_back(const Site& site) {
    const auto& config = site.config;
    const auto tokens = softhsm_tokens_directory(config.module_config);
    const auto folder = fs::absolute(config.file).parent_path().string();
    if (tokens.empty())
        return "connect the token, or correct vault.uri in " + config.file;
    if (site.is_system)
        return std::string("put its files back in ") + system_vault +
               " from a backup, or make a new instance: move " + system_vault + " and what is in " + folder +
               " away, then: stekctl init --location " + config.location;
    return "put its files back below " + tokens + " from a backup, or make a new instance: move " + folder +
           " away, then: stekctl init --dir " + folder + " --location " + config.location;
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
        diagnosis.fail(subject, "there is no " + tokens, how_to_get_a_vault_back(site));
    return false;
}

// stekd.service sees the vault in a mount namespace of its own; from outside it is elsewhere.
void look_at_vault(Diagnosis& diagnosis, const Site& site, const std::shared_ptr<pkcs11::Module>& module) {
    const char* subject = "vault token";
    try {
        diagnosis.fine(subject, look_at_token(module, site.config.vault, vault_mechanisms()));
    } catch (const std::exception& error) {
        std::error_code ignored;
        if (site.status.health && site.status.health->tokens_open)
            diagnosis.fine(subject, "stekd has it open");
        else if (site.is_system && fs::exists(std::string(system_vault) + "/token.object", ignored))
            diagnosis.fine(subject,
                           std::string("in ") + system_vault + ", which stekd.service shows to stekd alone");
        else
            report_missing(diagnosis, subject, error.what(), how_to_get_a_vault_back(site));
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
                       !is_softhsms ? "connect the token, or correct ticket.uri in " + site.config.file
                       : site.config.remake_pins.empty()
                           ? "put the token back, or set ticket.remake_pins in " + site.config.file +
                                 " and stekd makes it anew: " + restart
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
                           "not in the ticket token, though the key ring names them: " + list(missing) +
                               "; servers cannot use the keys wrapped to them",
                           site.reload_command());
    } catch (const std::exception&) {
        return;  // look_at_ticket_token() tells it
    }
}

void report_weaknesses(Diagnosis& diagnosis, const Site& site, const std::vector<std::string>& weaknesses,
                       const std::string& by) {
    const std::string subject = "enforcement";
    if (weaknesses.empty())
        diagnosis.fine(subject, by + " every attempt to get more out of a key was refused");
    else if (site.config.allow_weak_token)
        diagnosis.warn(
            subject,
            by + " the ticket token does not refuse: " + list(weaknesses) + " (allowed by allow_weak_token)",
            "use a token that enforces CKA_UNWRAP_TEMPLATE (ticket.uri), and take allow_weak_token out of " +
                site.config.file);
    else
        diagnosis.fail(subject, by + " the ticket token does not refuse: " + list(weaknesses),
                       "use a token that enforces CKA_UNWRAP_TEMPLATE (ticket.uri in " + site.config.file +
                           "); allow_weak_token = true there accepts this one");
}

class ScratchDirectory {
  public:
    ScratchDirectory() : path_((fs::temp_directory_path() / "stekctl-doctor-XXXXXX").string()) {
        if (::mkdtemp(path_.data()) == nullptr)  // 0700
            throw_errno("cannot make", path_);
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    std::string path_;
};

// As `stekctl init` does it: a token that nobody will use, thrown away. The instance's own are not touched.
std::string probe_scratch_token(const Config& config) {
    const ScratchDirectory scratch;
    auto probed = config;
    probed.module_config = scratch.path() + "/softhsm2.conf";
    make_directory(scratch.path() + "/tokens", 0700);
    write_text(probed.module_config, softhsm_conf(scratch.path() + "/tokens"), 0600);
    const auto& path = *config.ticket.module_path();
    {
        TokenMaker maker(path, probed.module_config);
        maker.make(ticket_label, scratch.path() + "/so-pin", scratch.path() + "/pin");
    }
    probed.ticket =
        pkcs11::TokenUri::parse(std::string("pkcs11:token=") + ticket_label + "?module-path=" + path);
    probed.private_pairs = false;
    probe_ticket_token(probed);
    return "a scratch token refused every attempt to get more out of a key";
}

void look_at_enforcement(Diagnosis& diagnosis, const Site& site) {
    const auto& status = site.status;
    if (status.health && status.health->tokens_open)
        return report_weaknesses(diagnosis, site, status.weaknesses, "when stekd probed,");
    if (!status.daemon || site.runs())
        return diagnosis.note("enforcement",
                              "stekd that runs, or may run, does not tell what its probe found");
    if (!status.weaknesses.empty())
        return report_weaknesses(diagnosis, site, status.weaknesses, "when stekd last probed,");
    if (softhsm_tokens_directory(site.config.module_config).empty())
        return diagnosis.note("enforcement", "not probed: that takes a login to the token",
                              "stekd --check --config " + site.config.file);
    diagnosis.look(
        "enforcement", [&] { return probe_scratch_token(site.config); },
        "use another PKCS#11 module (module-path of ticket.uri in " + site.config.file + ")");
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
                const auto& path = *config.vault.module_path();
                module = pkcs11::Module::initialize(pkcs11::Library::map(path), config.module_config);
                return path;
            },
            "apt-get install softhsm2, or correct module-path in vault.uri and ticket.uri, and "
            "paths.module_config, of " +
                config.file);
    if (!usable)
        return diagnosis.note("provider", "not loaded, for it loads the module");
    look_at_vault(diagnosis, site, module);
    look_at_ticket_token(diagnosis, site, module);
    look_at_pairs(diagnosis, site, module);
    diagnosis.look(
        "provider", [&] { return Deriver(config), config.provider; },
        "install it (units/install), or correct paths.provider in " + config.file);
    module->finalize();
    look_at_enforcement(diagnosis, site);
}

}  // namespace stek::daemon
