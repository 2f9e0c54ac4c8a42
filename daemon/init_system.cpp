// The system-wide instance: what is only root's in /etc/stekd, what is stekd's in /var/lib/stekd.
#include "daemon/access.hpp"
#include "daemon/init_parts.hpp"
#include "daemon/token_maker.hpp"
#include "provider/file.hpp"

#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <pwd.h>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

struct Owner {
    uid_t user;
    gid_t group;
};

Owner find_owner() {
    if (::geteuid() != 0)
        throw ConfigError("the system-wide instance is root's to make; --dir makes one in a directory");
    const passwd* user = getpwnam(system_user);  // NOLINT(concurrency-mt-unsafe): one thread
    if (user == nullptr)
        throw ConfigError(std::string("there is no user ") + system_user +
                          "; systemd-sysusers makes it from sysusers.d/stekd.conf");
    return {user->pw_uid, user->pw_gid};
}

void give(const std::string& path, const Owner& owner) {
    if (::lchown(path.c_str(), owner.user, owner.group) != 0)
        throw_errno("cannot change the owner of", path);
}

void give_all(const std::string& directory, const Owner& owner) {
    give(directory, owner);
    for (const auto& entry : fs::recursive_directory_iterator(directory))
        give(entry.path().string(), owner);
}

void sync(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || ::syncfs(file.get()) != 0)
        throw_errno("cannot write", path);
}

std::string token_of(const std::string& conf, const std::string& serial) {
    auto directory = softhsm_token_directory(conf, serial);
    if (directory.empty())
        throw std::runtime_error("the module keeps its tokens elsewhere; init is for SoftHSM");
    return directory;
}

std::string scratch_of(const std::string& vault) {
    return vault + ".new";
}

// Made beside its place and moved there when it is whole and its owner's. With it a ticket token to be
// probed, which nobody will use.
void make_vault(const InitOptions& options, const std::string& vault, const Owner& owner, Undo& undo,
                const HeldSignals& signals) {
    const auto scratch = scratch_of(vault);
    const auto conf = scratch + "/softhsm2.conf";
    const auto pins = layout_of(options).in_configuration("pins");
    make_directory(scratch, 0700);
    undo.also(scratch);
    make_directory(scratch + "/tokens", 0700);
    write_text(conf, softhsm_conf(scratch + "/tokens"), 0600);
    std::string serial;
    {
        TokenMaker maker(options.module, conf);
        serial = maker.make(vault_label, pins + "/vault.so-pin", pins + "/vault.pin");
        signals.check();
        maker.make(ticket_label, scratch + "/ticket.so-pin", scratch + "/ticket.pin");
    }
    auto config = load_config(layout_of(options).in_configuration(unfinished_toml));
    config.module_config = conf;
    signals.check();
    probe_ticket_token(config);
    signals.check();

    const auto made = token_of(conf, serial);
    if (::chmod(made.c_str(), 0700) != 0)
        throw_errno("cannot set the mode of", made);
    give_all(made, owner);
    fs::rename(made, vault);
    undo.also(vault);
    fs::remove_all(scratch);
    sync(vault);
}

}  // namespace

void init_system(const InitOptions& options) {
    check_options(options);
    const auto owner = find_owner();
    const Readers readers(options.readers);
    const auto layout = layout_of(options);
    const auto vault = options.token_dir.empty() ? std::string(system_vault) : options.token_dir;

    const std::vector<std::string> parts{layout.in_configuration("softhsm2.conf"),
                                         layout.in_configuration("openssl.cnf"),
                                         layout.in_configuration("pins")};
    auto all = parts;
    all.insert(all.end(), {system_vault, vault, scratch_of(vault)});
    const HeldSignals signals;
    std::optional<HeldDirectory> held;
    Undo undo;
    if (!fs::exists(layout.configuration)) {
        make_directory(layout.configuration, 0755);
        undo.also(layout.configuration);
    }
    held.emplace(layout.configuration);
    auto unfinished = parts;
    unfinished.push_back(scratch_of(system_vault));  // a vault in its place may be another's, and holds keys
    clear_unfinished(layout.configuration, unfinished);
    refuse_existing(layout.in_configuration("stekd.toml"));
    for (const auto& path : all)
        refuse_existing(path);

    undo.also(layout.in_configuration("stekd.toml"));
    undo.also(layout.in_configuration(unfinished_toml));
    for (const auto& path : parts)
        undo.also(path);
    write_text(layout.in_configuration(unfinished_toml), "",
               0644);  // first: what a kill leaves is known by it
    if (!fs::exists(system_state)) {
        make_directory(system_state, 0700);
        undo.also(system_state);
    }
    give(system_state, owner);
    make_directory(layout.in_configuration("pins"), 0700);
    write_configuration(options);
    undo.make_parents(vault);
    make_vault(options, vault, owner, undo, signals);
    if (vault != system_vault) {
        fs::create_directory_symlink(vault, system_vault);
        undo.also(system_vault);
    }
    finish_configuration(options);
    sync(layout.configuration);
    undo.keep();
}

}  // namespace stek::daemon
