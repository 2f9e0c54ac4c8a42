#include "daemon/init.hpp"

#include "daemon/access.hpp"
#include "daemon/config.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/token_maker.hpp"
#include "provider/file.hpp"
#include "provider/key_ring.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <filesystem>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr const char* site_openssl_cnf = "/etc/ssl/openssl.cnf";
constexpr const char* vault_label = "stekd-vault";
constexpr const char* ticket_label = "stekd-ticket";

// The paths go into four formats with four ways of quoting.
void check_path(const std::string& option, const std::string& path) {
    const bool plain = std::all_of(path.begin(), path.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 ||
               std::string_view("/._-+@").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (!plain || path.empty() || path.front() != '/')
        throw ConfigError(option + ": must be an absolute path of letters, digits and /._-+@, not \"" + path +
                          "\"");
}

std::string in(const InitOptions& options, const std::string& name) {
    return options.directory + "/" + name;
}

void write_text(const std::string& path, const std::string& text, mode_t mode) {
    replace_file(path, Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), [&](int fd) {
        if (::fchmod(fd, mode) != 0)
            throw_errno("cannot set the mode of", path);
    });
}

void make_directory(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) != 0 || ::chmod(path.c_str(), mode) != 0)
        throw_errno("cannot make", path);
}

std::string quoted(const std::string& text) {
    return '"' + text + '"';
}

std::string stekd_toml(const InitOptions& options) {
    const auto uri = [&](const char* label, const std::string& query) {
        return quoted(std::string("pkcs11:token=") + label + "?module-path=" + options.module + query);
    };
    std::string readers;
    for (const auto& reader : options.readers)
        readers += (readers.empty() ? "" : ", ") + quoted(reader);
    return "location = " + quoted(options.location) + "\nperiod = " + std::to_string(options.policy.period) +
           "\nsession_timeout = " + std::to_string(options.policy.session_timeout) +
           "\nstale_epochs = " + std::to_string(options.stale_epochs) + "\nreaders = [" + readers +
           "]\n\n[vault]\nuri = " + uri(vault_label, "&pin-source=file:" + in(options, "pins/vault.pin")) +
           "\n\n[ticket]\n# SoftHSM's files are the gate to it, by their ACL; servers have no PIN.\nuri = " +
           uri(ticket_label, "") +
           "\nprivate_pairs = false\n# A lost ticket token is made anew, its PINs put here.\nremake_pins = " +
           quoted(in(options, "pins")) +
           "\n\n[paths]\nmodule_config = " + quoted(in(options, "softhsm2.conf")) +
           "\nprovider = " + quoted(options.provider) + "\nkeyring = " + quoted(in(options, "run/keyring")) +
           "\nstats = " + quoted(in(options, "run/stats")) +
           "\ncontrol = " + quoted(in(options, "run/control")) + "\nstate = " + quoted(in(options, "state")) +
           "\n";
}

std::string softhsm_conf(const InitOptions& options) {
    return "directories.tokendir = " + in(options, "tokens") +
           "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
}

/// Removes again what was made, unless all went well.
class Undo {
  public:
    ~Undo() {
        std::error_code ignored;
        for (auto path = made_.rbegin(); path != made_.rend(); ++path)
            fs::remove_all(*path, ignored);
    }
    Undo() = default;
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    void also(std::string path) { made_.push_back(std::move(path)); }
    void keep() { made_.clear(); }

  private:
    std::vector<std::string> made_;
};

void make_tokens(const InitOptions& options, const Readers& readers) {
    TokenMaker maker(options.module, in(options, "softhsm2.conf"));
    for (const std::string label : {vault_label, ticket_label}) {
        const auto name = label.substr(label.find('-') + 1);
        const auto serial =
            maker.make(label, in(options, "pins/" + name + ".so-pin"), in(options, "pins/" + name + ".pin"));
        const auto directory = softhsm_token_directory(in(options, "softhsm2.conf"), serial);
        if (directory.empty())
            throw std::runtime_error("the module keeps token " + label + " elsewhere; init is for SoftHSM");
        back_up_token(directory, in(options, "state"));
        if (label == ticket_label)
            readers.allow_token(directory);
        else if (::chmod(directory.c_str(), 0700) != 0)
            throw_errno("cannot set the mode of", directory);
    }
}

// A token that grants more than its templates say is found out before anybody relies on it.
void probe_ticket_token(const Config& config) {
    const auto module =
        pkcs11::Module::initialize(pkcs11::Library::map(*config.ticket.module_path()), config.module_config);
    std::string weak;
    {
        pkcs11::Session session(pkcs11::Token::find(module, config.ticket), pkcs11::Access::read_write);
        for (const auto& result : probe_enforcement(session, config.private_pairs))
            if (!result.refused)
                weak += (weak.empty() ? "" : ", ") + result.attempt;
    }
    module->finalize();
    if (!weak.empty())
        throw pkcs11::TokenError(*config.ticket.module_path() + " makes tokens that do not refuse: " + weak);
}

}  // namespace

void init_instance(const InitOptions& options) {
    check_path("--dir", options.directory);
    check_path("--module", options.module);
    check_path("--provider", options.provider);
    if (!is_location(options.location))
        throw ConfigError("--location: must be 1 to 64 of letters, digits, '.', '_' and '-'");
    const Readers readers(options.readers);

    Undo undo;
    if (!fs::exists(options.directory)) {
        fs::create_directories(fs::path(options.directory).parent_path());
        make_directory(options.directory, 0755);
        undo.also(options.directory);
    }
    for (const auto* name :
         {"softhsm2.conf", "stekd.toml", "openssl.cnf", "pins", "tokens", "state", "run"}) {
        if (fs::exists(fs::symlink_status(in(options, name))))
            throw WouldOverwrite(in(options, name) + " is there already; nothing was done");
    }
    for (const auto* name : {"softhsm2.conf", "stekd.toml", "openssl.cnf", "pins", "tokens", "state", "run"})
        undo.also(in(options, name));

    make_directory(in(options, "pins"), 0700);
    make_directory(in(options, "state"), 0700);
    make_directory(in(options, "tokens"), 0750);
    readers.allow_entering(in(options, "tokens"));
    make_directory(in(options, "run"), 0755);
    make_directory(in(options, "run/stats"), 0770);
    readers.allow_writing(in(options, "run/stats"));
    write_text(in(options, "softhsm2.conf"), softhsm_conf(options), 0644);
    make_tokens(options, readers);
    write_text(in(options, "stekd.toml"), stekd_toml(options), 0644);
    write_text(in(options, "openssl.cnf"), server_openssl_cnf(options, site_openssl_cnf), 0644);
    probe_ticket_token(load_config(in(options, "stekd.toml")));  // what stekd would refuse is refused now
    undo.keep();
}

}  // namespace stek::daemon
