#include "daemon/access.hpp"
#include "daemon/init_parts.hpp"
#include "daemon/premises.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/token_maker.hpp"
#include "provider/file.hpp"

#include <filesystem>
#include <optional>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

std::string in(const InitOptions& options, const std::string& name) {
    return options.directory + "/" + name;
}

void make_tokens(const InitOptions& options, const Readers& readers, const HeldSignals& signals) {
    TokenMaker maker(options.module, in(options, "softhsm2.conf"));
    for (const std::string label : {vault_label, ticket_label}) {
        signals.check();
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

/// Others, that an option names, may be somebody else's.
std::vector<std::string> parts_within(const std::string& directory, std::vector<std::string> parts) {
    std::erase_if(parts, [&](const std::string& part) { return !part.starts_with(directory + "/"); });
    return parts;
}

}  // namespace

void init_instance(const InitOptions& options) {
    check_options(options);
    const Readers readers(options.readers);
    const auto layout = layout_of(options);

    const std::vector<std::string> parts{in(options, "softhsm2.conf"), in(options, "openssl.cnf"),
                                         in(options, "pins"),          layout.tokens,
                                         in(options, "state"),         in(options, "run")};
    const HeldSignals signals;
    std::optional<HeldDirectory> held;
    Undo undo;
    if (!fs::exists(options.directory)) {
        undo.make_parents(options.directory);
        make_directory(options.directory, 0755);
        undo.also(options.directory);
    }
    held.emplace(options.directory);
    clear_unfinished(options.directory, parts_within(options.directory, parts));
    refuse_existing(in(options, "stekd.toml"));
    for (const auto& path : parts)
        refuse_existing(path);
    undo.also(in(options, "stekd.toml"));
    undo.also(in(options, unfinished_toml));
    for (const auto& path : parts)
        undo.also(path);

    write_text(in(options, unfinished_toml), "", 0644);  // first: what a kill leaves is known by it
    make_directory(in(options, "pins"), 0700);
    make_directory(in(options, "state"), 0700);
    undo.make_parents(layout.tokens);
    make_directory(layout.tokens, 0750);
    readers.allow_entering(layout.tokens);
    make_directory(in(options, "run"), 0755);
    make_directory(in(options, "run/stats"), 0770);
    readers.allow_writing(in(options, "run/stats"));
    write_configuration(options);
    const auto config = load_config(in(options, unfinished_toml));
    require_premises(config);  // what stekd would refuse is refused now
    make_tokens(options, readers, signals);
    probe_ticket_token(config);
    signals.check();
    finish_configuration(options);
    undo.keep();
}

}  // namespace stek::daemon
