#include "daemon/fleet/fleet_work.hpp"

#include "daemon/clocks.hpp"
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/engine_watch.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/parties.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/stepped_engine.hpp"
#include "daemon/headline.hpp"
#include "daemon/log.hpp"
#include "daemon/places.hpp"
#include "daemon/premises.hpp"
#include "daemon/state.hpp"
#include "daemon/ticket_remake.hpp"
#include "daemon/token_backup.hpp"

#include <algorithm>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using daemon::Config;
using daemon::log;
using nlohmann::json;

std::string location_of(const FleetConfig& config) {
    return config.location ? config.location->name : config.machine ? config.machine->location : "";
}

/// Of what its roles look at.
std::vector<std::string> buckets_of(const FleetConfig& config) {
    std::vector<std::string> buckets{bucket::fleet};
    if (config.origin)
        buckets.emplace_back(bucket::pre_keys);
    if (config.origin || config.location)
        buckets.emplace_back(bucket::hourly);
    if (!location_of(config).empty())
        buckets.push_back(bucket::of_location(location_of(config)));
    return buckets;
}

class FleetWork final : public daemon::Work {
  public:
    FleetWork(FleetConfig config, std::function<void()> progress);

    Next run() override;
    json obey(const daemon::Order& order, const Attempt& attempt) override;
    json obey(const daemon::PartyOrder& order, const Attempt& attempt) override;
    Next reload(const std::function<void(const Config&)>& accept) override;
    void listen(sd_event* loop, std::function<void()> due) override;

    [[nodiscard]] const Config& config() const noexcept override { return common_; }
    [[nodiscard]] std::string headline() const override;
    [[nodiscard]] std::string what_is_ready() const override;
    [[nodiscard]] std::vector<daemon::WatchedFile> must_stay() const override;
    void report(daemon::Health& health) const override;
    void add_to_status(json& reply) const override;

  private:
    void open();
    [[nodiscard]] std::unique_ptr<FleetTokens> open_tokens();
    void look_at_ticket_token();
    void close() noexcept;
    void make_engine();
    void watch_engine();
    void note_ring();
    [[nodiscard]] Next next(const daemon::Now& now) const;
    /// Tokens that are in trouble are opened anew by the next run.
    Next work(const std::function<void()>& piece);
    [[nodiscard]] json obey_rotate(bool revoke_old, const Attempt& attempt);
    [[nodiscard]] json obey_revoke(const daemon::Revoke& order, const Attempt& attempt);
    [[nodiscard]] std::optional<PartyList> changed_machines(const daemon::PartyOrder& order);

    FleetConfig config_;
    Config common_;
    std::function<void()> progress_;
    daemon::Readers readers_;
    daemon::StateDirectory directory_;
    daemon::State state_;  ///< of the ticket token: serial, and what it enforces
    daemon::TokenClaims claims_;
    KnownLists lists_;
    BundleStore bundles_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<EngineWatch> watch_;
    std::unique_ptr<FleetTokens> tokens_;
    std::unique_ptr<Parties> parties_;
    std::uint64_t generation_ = 0, published_ = 0;  ///< of the ring that was seen last; rings since the start
    std::int64_t last_published_ = 0;
};

FleetWork::FleetWork(FleetConfig config, std::function<void()> progress)
    : config_(std::move(config)),
      common_(common_config(config_)),
      progress_(std::move(progress)),
      readers_(common_.readers),
      directory_(config_.state),
      lists_(config_.state, read_root_key(config_.root), location_of(config_)),
      bundles_(config_.state) {
    try {
        state_ = directory_.load();
    } catch (const std::system_error&) {
        throw;  // a file that cannot be read now may be a good one
    } catch (const std::runtime_error& error) {
        log(LOG_WARNING, std::string("the state cannot be understood and is set aside: ") + error.what());
        directory_.set_aside();
    }
    make_engine();
}

void FleetWork::make_engine() {
    engine_ = std::make_unique<SteppedEngine>(make_directory_engine(config_.engine_directory), progress_);
}

// --- tokens ---

std::unique_ptr<FleetTokens> FleetWork::open_tokens() {
    for (const auto& mended : daemon::mend_tokens(config_.module_config, config_.state, claims_))
        log(LOG_WARNING, "a kill in a login had emptied token.object; put back in " + mended);
    try {
        return std::make_unique<FleetTokens>(config_, claims_, state_.token_serial);
    } catch (const daemon::TicketTokenLost& loss) {
        const auto& machine = *config_.machine;
        daemon::remake({machine.ticket, config_.module_config, machine.remake_pins, state_.token_serial,
                        ::access(machine.keyring.c_str(), F_OK) == 0},
                       loss);
    }
    return std::make_unique<FleetTokens>(config_, claims_, state_.token_serial);
}

void FleetWork::close() noexcept {
    parties_.reset();
    tokens_.reset();
}

void FleetWork::open() {
    try {
        if (tokens_)
            tokens_->check_present();
    } catch (const pkcs11::TokenError& error) {
        log(LOG_WARNING, error.what());
        close();
    }
    if (parties_)
        return;
    close();
    daemon::make_places(common_, readers_);
    tokens_ = open_tokens();
    claims_.keep_only(tokens_->directories());
    try {
        for (const auto& directory : tokens_->directories())
            daemon::back_up_token(directory, config_.state);
        daemon::drop_other_copies(tokens_->directories(), config_.state);
    } catch (const std::system_error& error) {
        log(LOG_WARNING, std::string("no copy of the tokens' token.object: ") + error.what());
    }
    if (const auto removed = tokens_->sweep_unfinished(); removed != 0)
        log(LOG_NOTICE, "what a kill left of unfinished objects is removed: " + std::to_string(removed));
    look_at_ticket_token();
    parties_ = std::make_unique<Parties>(
        Premises{config_, readers_, config_.state, lists_, bundles_, *engine_, progress_}, *tokens_);
}

// A token that was found to enforce what it must is not asked again: that takes seconds, and writes to it.
void FleetWork::look_at_ticket_token() {
    auto* const ticket = tokens_->ticket();
    if (ticket == nullptr)
        return;
    const auto& serial = ticket->session.token().serial();
    if (state_.enforcing_serial == serial && state_.token_serial == serial)
        return;
    if (progress_)
        progress_();
    state_.boot_id = daemon::current_boot_id();
    state_.token_serial = serial;
    state_.weaknesses = daemon::weaknesses_of(ticket->session, config_.machine->private_pairs);
    state_.enforcing_serial = state_.weaknesses.empty() ? serial : "";
    directory_.save(state_);
    daemon::judge(state_.weaknesses, config_.allow_weak_token);
}

// --- runs ---

daemon::Work::Next FleetWork::work(const std::function<void()>& piece) {
    try {
        open();
        piece();
    } catch (const std::system_error&) {
        watch_engine();
        throw;  // a file's trouble, not the tokens'
    } catch (const EngineError&) {
        note_ring();
        watch_engine();
        throw;
    } catch (const FrameError&) {
        note_ring();
        watch_engine();
        throw;
    } catch (...) {
        close();
        watch_engine();
        throw;
    }
    note_ring();
    watch_engine();
    return next(daemon::read_clocks());
}

daemon::Work::Next FleetWork::run() {
    return work([this] { parties_->run(daemon::read_clocks()); });
}

daemon::Work::Next FleetWork::next(const daemon::Now& now) const {
    Next next{static_cast<std::int64_t>((config_.policy.epoch_at(now.wall) + 1) * config_.policy.period), {}};
    if (const auto* machine = parties_->machine()) {
        const auto its = machine->next(now, config_.policy);
        next.edge = std::min(next.edge, its.edge);
        next.destruction = its.destruction;
    }
    return next;
}

void FleetWork::note_ring() {
    const auto* ring = parties_ ? parties_->ring() : nullptr;
    if (ring == nullptr || ring->generation == generation_)
        return;
    generation_ = ring->generation;
    ++published_;
    last_published_ = ring->written_at;
}

void FleetWork::listen(sd_event* loop, std::function<void()> due) {
    watch_ = std::make_unique<EngineWatch>(loop, std::move(due));
}

// It is looked at each minute all the same.
void FleetWork::watch_engine() {
    if (!watch_)
        return;
    try {
        watch_->watch(*engine_, buckets_of(config_));
    } catch (const std::runtime_error& error) {
        log(LOG_DEBUG, std::string("changes in the engine are seen each minute only: ") + error.what());
    }
}

daemon::Work::Next FleetWork::reload(const std::function<void(const Config&)>& accept) {
    auto config = load_fleet_config(config_.file);
    require_role(config);
    auto common = common_config(config);
    daemon::require_premises(common);
    daemon::Readers readers(common.readers);
    if (config.state != config_.state)
        throw daemon::ConfigError("paths.state cannot change while stekd runs; restart it");
    if (fleet_id_of(read_root_key(config.root)) != lists_.fleet_id())
        throw daemon::ConfigError("engine.root cannot become another fleet's while stekd runs; restart it");
    if (location_of(config) != location_of(config_))
        throw daemon::ConfigError("the location cannot change while stekd runs; restart it");
    accept(common);
    close();
    const auto exchange = [&] {
        std::swap(config_, config);
        std::swap(common_, common);
        std::swap(readers_, readers);
        make_engine();
    };
    exchange();
    try {
        return run();
    } catch (...) {
        close();
        exchange();
        throw;
    }
}

// --- orders ---

json FleetWork::obey_rotate(bool revoke_old, const Attempt& attempt) {
    if (!config_.origin)
        return {{"ok", false},
                {"error", "a new key is the origins' to make: run stekctl rotate where one of them runs"}};
    if (revoke_old)
        return {{"ok", false},
                {"error", "older keys are the locations' to revoke: run stekctl revoke there"}};
    const auto trouble = attempt([this] {
        return work([this] {
            parties_->renew(daemon::read_clocks());
            parties_->run(daemon::read_clocks());
        });
    });
    if (!trouble.empty())
        return {{"ok", false}, {"error", trouble}};
    return {{"ok", true}, {"generation", generation_}, {"revoked", json::array()}};
}

json FleetWork::obey_revoke(const daemon::Revoke& order, const Attempt& attempt) {
    if (!config_.location)
        return {{"ok", false},
                {"error", "keys are the location's to revoke: run stekctl revoke where a vault of it is"}};
    std::vector<KeyId> revoked;
    const auto named = [&](KeyId key) {
        return order.all ||
               std::ranges::any_of(order.keys, [&](const auto& which) { return which.names(key); });
    };
    const auto trouble = attempt([&] {
        return work([&] {
            revoked = parties_->revoke(named, daemon::read_clocks());
            parties_->run(daemon::read_clocks());
        });
    });
    if (!trouble.empty() && revoked.empty())
        return {{"ok", false}, {"error", trouble}};
    json reply{{"ok", true}, {"generation", generation_}, {"revoked", json::array()}};
    reply["warning"] = trouble.empty()
                           ? "servers seal again with the next key that the origins make: stekctl rotate "
                             "at an origin makes one now"
                           : trouble;
    for (const auto key : revoked)
        reply["revoked"].push_back(bundle_key(key));
    return reply;
}

json FleetWork::obey(const daemon::Order& order, const Attempt& attempt) {
    if (const auto* rotate = std::get_if<daemon::Rotate>(&order))
        return obey_rotate(rotate->revoke_old, attempt);
    return obey_revoke(std::get<daemon::Revoke>(order), attempt);
}

/// Nothing if nothing is to be changed. Throws EnrolmentRefused, FrameError, EngineError.
std::optional<PartyList> FleetWork::changed_machines(const daemon::PartyOrder& order) {
    (void)lists_.refresh(*engine_);
    const auto list = machines_or_first(lists_, config_.location->name);
    const auto now = daemon::read_clocks().wall;
    if (const auto* retire = std::get_if<daemon::RetireMachine>(&order))
        return with_retired(list, retire->name, now);
    const auto& enrol = std::get<daemon::EnrolMachine>(order);
    const auto request = open_request(unarmour_request(enrol.request), lists_.fleet_id());
    refuse_foreign_machine(request, config_.location->name);
    return with_party(list, request, now);
}

json FleetWork::obey(const daemon::PartyOrder& order, const Attempt& attempt) {
    if (!config_.location)
        return {{"ok", false}, {"error", "machines are their location's to enrol and to retire"}};
    std::optional<PartyList> list;
    try {
        list = changed_machines(order);
    } catch (const EnrolmentRefused& error) {
        return {{"ok", true}, {"declined", error.what()}};
    } catch (const std::runtime_error& error) {
        return {{"ok", false}, {"error", error.what()}};
    }
    const auto trouble = attempt([&] {
        return work([&] {
            parties_->issue_machines(list);
            parties_->run(daemon::read_clocks());
        });
    });
    // What was signed is in force, whatever else went wrong then.
    const bool is_signed = !list || (lists_.machines() != nullptr && *lists_.machines() == *list);
    if (!trouble.empty() && !is_signed)
        return {{"ok", false}, {"error", trouble}};
    json reply{{"ok", true}};
    if (list)
        reply["serial"] = list->serial;
    if (list && std::holds_alternative<daemon::EnrolMachine>(order))
        reply["number"] = list->parties.back().number;
    if (!trouble.empty())
        reply["warning"] = trouble;
    return reply;
}

// --- what it says of itself ---

std::string FleetWork::headline() const {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
    if (!parties_)
        return "starting";
    if (const auto* ring = parties_->ring())
        add(daemon::headline(*ring, daemon::read_clocks().wall, config_.stale_epochs));
    if (const auto* location = parties_->location())
        add("location " + config_.location->name + ": e=" + std::to_string(location->report().last_epoch) +
            ", " + std::to_string(location->report().machines) + " machines");
    if (const auto* origin = parties_->origin())
        add("origin: bundles up to e=" + std::to_string(origin->report().newest_epoch));
    if (!state_.weaknesses.empty())
        add("the ticket token is weak");
    return text;
}

std::string FleetWork::what_is_ready() const {
    std::string roles;
    const auto add = [&](bool there, const char* role) {
        if (there)
            roles += (roles.empty() ? "" : ", ") + std::string(role);
    };
    add(config_.origin.has_value(), "origin");
    add(config_.location.has_value(), "location");
    add(config_.machine.has_value(), "machine, the key ring is in place");
    return roles;
}

std::vector<daemon::WatchedFile> FleetWork::must_stay() const {
    std::vector<daemon::WatchedFile> files;
    if (config_.machine)
        files.push_back({config_.machine->keyring, true, {}});
    if (tokens_)
        for (const auto& directory : tokens_->directories())
            files.push_back({directory + "/token.object", false, {}});  // each login writes to it
    return files;
}

void FleetWork::report(daemon::Health& health) const {
    health.rotations = published_;
    health.last_rotation = last_published_;
    health.tokens_open = tokens_ != nullptr;
    const auto epoch = parties_ ? parties_->chain_epoch() : std::nullopt;
    health.chain = epoch ? std::optional(ChainPosition{*epoch, *epoch}) : std::nullopt;
    const auto current = config_.policy.epoch_at(daemon::read_clocks().wall);
    health.chain_lag = epoch && *epoch < current ? current - *epoch : 0;
}

void FleetWork::add_to_status(json& reply) const {
    json fleet = json::object();
    if (!parties_)
        return;
    if (const auto* origin = parties_->origin())
        fleet["origin"] = {{"name", config_.origin->name},
                           {"newest_epoch", origin->report().newest_epoch},
                           {"without_pre_key", origin->report().without_pre_key.size()}};
    if (const auto* location = parties_->location())
        fleet["location"] = {{"name", config_.location->name},
                             {"vault", config_.location->vault},
                             {"last_epoch", location->report().last_epoch},
                             {"machines", location->report().machines},
                             {"pre_keys_left", location->report().pre_keys_left}};
    if (parties_->machine() != nullptr)
        fleet["machine"] = {{"name", config_.machine->name}, {"location", config_.machine->location}};
    reply["fleet"] = std::move(fleet);
}

}  // namespace

daemon::Config common_config(const FleetConfig& config) {
    Config common;
    common.file = config.file;
    common.policy = config.policy;
    common.stale_epochs = config.stale_epochs;
    common.ring_version = config.ring_version;
    common.allow_weak_token = config.allow_weak_token;
    common.location = location_of(config);
    common.module_config = config.module_config;
    common.provider = config.provider;
    common.state = config.state;
    common.control = config.control;
    common.server_config = config.server_config;
    common.metrics = config.metrics;
    if (config.location)
        common.vault = config.location->token;
    if (const auto& machine = config.machine) {
        common.readers = machine->readers;
        common.ticket = machine->ticket;
        common.private_pairs = machine->private_pairs;
        common.remake_pins = machine->remake_pins;
        common.keyring = machine->keyring;
        common.stats = machine->stats;
    }
    return common;
}

daemon::MakeWork fleet_work(FleetConfig config) {
    return [config = std::move(config)](std::function<void()> progress) {
        return std::make_unique<FleetWork>(config, std::move(progress));
    };
}

}  // namespace stek::fleet
