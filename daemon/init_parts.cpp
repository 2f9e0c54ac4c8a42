#include "daemon/init_parts.hpp"

#include "daemon/state.hpp"
#include "provider/file.hpp"
#include "provider/key_ring.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr const char* site_openssl_cnf = "/etc/ssl/openssl.cnf";

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

std::string quoted(const std::string& text) {
    return '"' + text + '"';
}

std::string stekd_toml(const InitOptions& options) {
    const auto uri = [&](const char* label, const std::string& query) {
        return quoted(std::string("pkcs11:token=") + label + "?module-path=" + options.module + query);
    };
    const auto layout = layout_of(options);
    std::string readers;
    for (const auto& reader : options.readers)
        readers += (readers.empty() ? "" : ", ") + quoted(reader);
    return "location = " + quoted(options.location) + "\nperiod = " + std::to_string(options.policy.period) +
           "\nsession_timeout = " + std::to_string(options.policy.session_timeout) +
           "\nstale_epochs = " + std::to_string(options.stale_epochs) + "\nreaders = [" + readers +
           "]\n\n[vault]\nuri = " + uri(vault_label, "&pin-source=" + layout.vault_pin_source) +
           "\n\n[ticket]\n# SoftHSM's files are the gate to it, by their ACL; servers have no PIN.\nuri = " +
           uri(ticket_label, "") +
           "\nprivate_pairs = false\n# A lost ticket token is made anew, its PINs put here.\nremake_pins = " +
           quoted(layout.remake_pins) +
           "\n\n[paths]\nmodule_config = " + quoted(layout.in_configuration("softhsm2.conf")) +
           "\nprovider = " + quoted(options.provider) + "\nkeyring = " + quoted(layout.keyring) +
           "\nstats = " + quoted(layout.stats) +
           "\nserver_config = " + quoted(layout.in_configuration("openssl.cnf")) +
           "\nstate = " + quoted(layout.state) + "\n" +
           (layout.control.empty() ? "" : "control = " + quoted(layout.control) + "\n");
}

}  // namespace

Layout layout_of(const InitOptions& options) {
    return options.directory.empty() ? system_layout() : layout_in(options.directory, options.token_dir);
}

void check_options(const InitOptions& options) {
    if (!options.directory.empty())
        check_path("--dir", options.directory);
    if (!options.token_dir.empty())
        check_path("--token-dir", options.token_dir);
    check_path("--module", options.module);
    check_path("--provider", options.provider);
    if (!is_location(options.location))
        throw ConfigError("--location: must be 1 to 64 of letters, digits, '.', '_' and '-'");
    check_numbers(options.policy, options.stale_epochs, {"--period", "--session-timeout", "--stale-epochs"});
    if (!fs::is_regular_file(options.provider))
        throw ConfigError("--provider: there is no file " + options.provider);
}

void refuse_existing(const std::string& path) {
    if (fs::exists(fs::symlink_status(path)))
        throw WouldOverwrite(path + " is there already; nothing was done");
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

std::string softhsm_conf(const std::string& tokens) {
    return "directories.tokendir = " + tokens +
           "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
}

void write_configuration(const InitOptions& options) {
    const auto layout = layout_of(options);
    write_text(layout.in_configuration("softhsm2.conf"), softhsm_conf(layout.tokens), 0644);
    write_text(layout.in_configuration(unfinished_toml), stekd_toml(options), 0644);
    write_text(layout.in_configuration("openssl.cnf"), server_openssl_cnf(options, site_openssl_cnf), 0644);
}

void finish_configuration(const InitOptions& options) {
    const auto layout = layout_of(options);
    fs::rename(layout.in_configuration(unfinished_toml), layout.in_configuration("stekd.toml"));
}

void clear_unfinished(const std::string& configuration, const std::vector<std::string>& parts) {
    if (!fs::exists(configuration + "/" + unfinished_toml) || fs::exists(configuration + "/stekd.toml"))
        return;
    std::cerr << "stekctl: an init was killed in " << configuration << "; what it left is removed\n";
    for (const auto& part : parts)
        fs::remove_all(part);
    fs::remove(configuration + "/" + unfinished_toml);  // last: it is what tells of the others
}

HeldDirectory::HeldDirectory(const std::string& directory)
    : file_(directory + "/init.lock"),
      lock_(::open(file_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) {
    if (!lock_)
        throw_errno("cannot open", file_);
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            throw AnotherStekd("another stekctl init is at work in " + directory);
        throw_errno("cannot lock", file_);
    }
}

HeldDirectory::~HeldDirectory() {
    ::unlink(file_.c_str());
}

HeldSignals::HeldSignals() {
    sigemptyset(&held_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        sigaddset(&held_, signal);
    sigprocmask(SIG_BLOCK, &held_, &before_);
}

HeldSignals::~HeldSignals() {
    sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void HeldSignals::check() const {
    const timespec at_once{};
    const int signal = sigtimedwait(&held_, nullptr, &at_once);
    if (signal < 0)
        return;
    ::raise(signal);  // held again, until what was made is removed
    throw std::runtime_error("interrupted");
}

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

void Undo::make_parents(const std::string& path) {
    std::vector<fs::path> missing;
    for (auto parent = fs::path(path).parent_path(); !parent.empty() && !fs::exists(parent);
         parent = parent.parent_path())
        missing.push_back(parent);
    for (auto parent = missing.rbegin(); parent != missing.rend(); ++parent) {
        make_directory(parent->string(), 0755);
        also(parent->string());
    }
}

Undo::~Undo() {
    std::error_code ignored;
    for (auto path = made_.rbegin(); path != made_.rend(); ++path)
        fs::remove_all(*path, ignored);
}

}  // namespace stek::daemon
