#include "daemon/access.hpp"
#include "daemon/init_parts.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/token_maker.hpp"
#include "provider/file.hpp"

#include <filesystem>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

std::string in(const InitOptions& options, const std::string& name) {
    return options.directory + "/" + name;
}

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

}  // namespace

void init_instance(const InitOptions& options) {
    check_options(options);
    const Readers readers(options.readers);
    const auto layout = layout_of(options);

    Undo undo;
    if (!fs::exists(options.directory)) {
        fs::create_directories(fs::path(options.directory).parent_path());
        make_directory(options.directory, 0755);
        undo.also(options.directory);
    }
    const std::string parts[] = {in(options, "softhsm2.conf"),
                                 in(options, "stekd.toml"),
                                 in(options, "openssl.cnf"),
                                 in(options, "pins"),
                                 layout.tokens,
                                 in(options, "state"),
                                 in(options, "run")};
    for (const auto& path : parts)
        refuse_existing(path);
    for (const auto& path : parts)
        undo.also(path);

    make_directory(in(options, "pins"), 0700);
    make_directory(in(options, "state"), 0700);
    make_directory(layout.tokens, 0750);
    readers.allow_entering(layout.tokens);
    make_directory(in(options, "run"), 0755);
    make_directory(in(options, "run/stats"), 0770);
    readers.allow_writing(in(options, "run/stats"));
    write_configuration(options);
    make_tokens(options, readers);
    probe_ticket_token(load_config(in(options, "stekd.toml")));  // what stekd would refuse is refused now
    undo.keep();
}

}  // namespace stek::daemon
