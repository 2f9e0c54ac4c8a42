#include "daemon/fleet/command_ceremony.hpp"

#include "daemon/exit_codes.hpp"
#include "daemon/fleet/bundle_check.hpp"
#include "daemon/fleet/ceremony.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/list_desk.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/vault_session.hpp"
#include "daemon/init_parts.hpp"

#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

namespace fs = std::filesystem;

/// The lists first: a token is not asked for a party that nobody can look up.
struct CeremonyDesk {
    explicit CeremonyDesk(const std::string& file)
        : config(load_fleet_config(file)),
          lists(own_state(config), read_root_key(config.root), require_location(config).name) {
        try {
            lists.refresh(*open_engine(config, OpenedBy::stekctl));
        } catch (const EngineError& error) {
            std::cerr << "the engine cannot be asked for newer lists, so those that are here count: "
                      << error.what() << '\n';
        }
        vault = std::make_unique<VaultSession>(config);
        vault->session().token().require(ceremony_mechanisms());
        self.emplace(vault->identity(lists.fleet_id()));
        ceremony.emplace(vault->session(), *self, lists, config.state);
    }

    FleetConfig config;
    KnownLists lists;
    // Each is used by those behind it, which go first.
    std::unique_ptr<VaultSession> vault;
    std::optional<Identity> self;
    std::optional<Ceremony> ceremony;
};

std::vector<std::uint8_t> read_frame(const std::string& path, Kind kind) {
    auto frame = read_up_to(path, largest_frame(kind));
    if (frame.size() > largest_frame(kind))
        throw FrameError(path + " is too large for a " + name_of(kind));
    return frame;
}

void write_frame(const fs::path& path, Bytes frame) {
    const auto directory = path.parent_path();
    replace_durably(directory.empty() ? "." : directory.string(), path.filename().string(), frame);
}

std::string in_words(std::uint64_t epoch, const daemon::Policy& policy) {
    const std::time_t begin = begin_of(epoch, policy);
    std::tm parts{};
    char text[32] = "";
    if (gmtime_r(&begin, &parts) != nullptr)
        std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    return "epoch " + std::to_string(epoch) + " (" + text + ")";
}

/// An epoch that is over for the others could be taken up by none of them, and the chain never goes back.
std::time_t checked_clock(const KnownLists& lists) {
    const std::time_t now = std::time(nullptr);
    if (lists.fleet() != nullptr && now < lists.fleet()->signed_at)
        throw CeremonyRefused(
            "this host's clock is before the time at which the fleet's list was signed: set "
            "it first, for the chain begins with the epoch that it shows");
    return now;
}

void write_shares(const std::vector<ShareFor>& shares, const fs::path& directory) {
    for (const auto& share : shares) {
        const auto path = directory / (share.vault + ".share");
        write_frame(path, share.frame);
        std::cout << "share for " << share.vault << ":  " << path.string() << "\n"
                  << "  at that vault:  stekctl fleet ceremony take --config FILE "
                  << path.filename().string() << '\n';
    }
}

}  // namespace

int ceremony_offer(const std::string& config, const std::string& out) {
    daemon::refuse_existing(out);
    CeremonyDesk desk(config);
    write_frame(out, desk.ceremony->offer());
    std::cout << "offer of " << desk.self->name << ":  " << out << "\n"
              << "  at the first vault:  stekctl fleet ceremony make --config FILE --out-dir DIR "
              << fs::path(out).filename().string() << '\n';
    return daemon::exit_ok;
}

int ceremony_make(const std::string& config, const std::vector<std::string>& offers,
                  const std::string& out_directory) {
    if (!fs::is_directory(out_directory))
        throw daemon::ConfigError("--out-dir: there is no directory " + out_directory);
    std::vector<std::vector<std::uint8_t>> frames;
    frames.reserve(offers.size());
    for (const auto& offer : offers)
        frames.push_back(read_frame(offer, Kind::ceremony_offer));
    CeremonyDesk desk(config);
    if (const auto left = desk.ceremony->unfinished(); !left.empty()) {
        std::cout << "an earlier run was interrupted after it had made the chain; these are its shares:\n";
        desk.vault->sync();
        write_shares(left, out_directory);
        desk.ceremony->done();
        return daemon::exit_ok;
    }
    desk.ceremony->refuse_second_chain();
    for (const auto& party :
         desk.lists.fleet() != nullptr ? desk.lists.fleet()->parties : std::vector<Party>{})
        if (party.location == desk.self->location)
            daemon::refuse_existing(out_directory + "/" + party.name + ".share");
    const auto epoch = desk.config.policy.epoch_at(checked_clock(desk.lists));
    const auto shares = desk.ceremony->make(epoch, frames);
    // No share of a chain that a power cut could take back.
    desk.vault->sync();
    write_shares(shares, out_directory);
    desk.ceremony->done();
    std::cout << "the chain of location " << desk.self->location << " begins with "
              << in_words(epoch, desk.config.policy) << "\n";
    return daemon::exit_ok;
}

int ceremony_take(const std::string& config, const std::string& share) {
    const auto frame = read_frame(share, Kind::ceremony_share);
    CeremonyDesk desk(config);
    const auto epoch = desk.ceremony->take(frame);
    desk.vault->sync();
    std::cout << "vault " << desk.self->name << " has the chain of location " << desk.self->location
              << ", which begins with " << in_words(epoch, desk.config.policy) << "\n";
    return daemon::exit_ok;
}

void add_ceremony(CLI::App& fleet, daemon::Chosen& chosen) {
    struct Options {
        std::string config = daemon::default_config, out, out_directory, share;
        std::vector<std::string> offers;
    };
    const auto options = std::make_shared<Options>();
    auto* ceremony = fleet.add_subcommand("ceremony", "gives the vaults of a location the same secret, once");
    ceremony->require_subcommand(1);
    const auto add = [&](const char* name, const char* what) {
        auto* step = ceremony->add_subcommand(name, what);
        step->add_option("--config", options->config, "stekd's configuration")->capture_default_str();
        return step;
    };

    auto* offer = add("offer", "at each further vault: asks for the secret");
    offer->add_option("--out", options->out, "where the offer goes; must be new")->required();
    offer->callback(
        [&chosen, options] { chosen = [options] { return ceremony_offer(options->config, options->out); }; });

    auto* make = add("make", "at the first vault: makes the secret, and a share of it for each offer");
    make->add_option("offers", options->offers,
                     "the offers of all other vaults of the location; none if there are none")
        ->check(CLI::ExistingFile);
    make->add_option("--out-dir", options->out_directory, "a directory: the shares go there as VAULT.share")
        ->required();
    make->callback([&chosen, options] {
        chosen = [options] {
            return ceremony_make(options->config, options->offers, options->out_directory);
        };
    });

    auto* take = add("take", "at each further vault: takes its share");
    take->add_option("share", options->share, "its share")->required()->check(CLI::ExistingFile);
    take->callback([&chosen, options] {
        chosen = [options] { return ceremony_take(options->config, options->share); };
    });
}

}  // namespace stek::fleet
