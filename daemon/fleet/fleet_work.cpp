#include "daemon/fleet/fleet_work.hpp"

#include "daemon/clocks.hpp"
#include "daemon/fleet/fleet_process.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/stepped_engine.hpp"
#include "daemon/log.hpp"
#include "daemon/places.hpp"
#include "daemon/premises.hpp"
#include "daemon/ticket_remake.hpp"
#include "daemon/token_backup.hpp"

#include <algorithm>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stek::fleet {
namespace {

using daemon::Config;
using daemon::log;

/// Of what its roles look at.
std::vector<std::string> buckets_of(const FleetConfig& config) {
    std::vector<std::string> buckets{bucket::fleet};
    // A vault's own pre-keys, which NATS alone tells apart from those of others.
    if (config.origin || (config.location && config.nats))
        buckets.emplace_back(bucket::pre_keys);
    if (config.origin || config.location)
        buckets.emplace_back(bucket::hourly);
    if (!config.location_name().empty())
        buckets.push_back(bucket::of_location(config.location_name()));
    return buckets;
}

}  // namespace

FleetWork::FleetWork(FleetConfig config, daemon::Progress progress)
    : config_(std::move(config)),
      common_(common_config(config_)),
      progress_(std::move(progress)),
      readers_(common_.readers),
      directory_(config_.state),
      state_(directory_.load_or_set_aside()),
      lists_(config_.state, read_root_key(config_.root), config_.location_name()),
      bundles_(config_.state) {
    make_engine();
}

void FleetWork::make_engine() {
    if (watch_)
        watch_->watch(*engine_, {});  // what is watched is in the one before
    engine_ = std::make_unique<SteppedEngine>(open_engine(config_, OpenedBy::stekd), progress_);
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
    daemon::tell(progress_, daemon::Awaited::token);
    state_.boot_id = daemon::current_boot_id();
    state_.token_serial = serial;
    state_.weaknesses = daemon::weaknesses_of(ticket->session, config_.machine->private_pairs);
    state_.enforcing_serial = state_.weaknesses.empty() ? serial : "";
    directory_.save(state_);
    daemon::judge(state_.weaknesses, config_.allow_weak_token);
}

// --- runs ---

// Watched after it is looked at: what is over must go although the engine hangs.
daemon::Work::Next FleetWork::work(const std::function<void()>& piece) {
    try {
        carry_out(piece);
    } catch (...) {
        watch_engine();
        throw;
    }
    watch_engine();
    return next(daemon::read_clocks());
}

void FleetWork::carry_out(const std::function<void()>& piece) {
    engine_is_away_ = false;
    try {
        open();
        piece();
    } catch (const std::system_error&) {
        throw;  // a file's trouble, not the tokens'
    } catch (const EngineError&) {
        engine_is_away_ = true;
        note_ring();
        throw;
    } catch (const FrameError&) {
        note_ring();
        throw;
    } catch (...) {
        close();
        throw;
    }
    note_ring();
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
        watch_->look_each(std::min(EngineWatch::longest_look, std::chrono::seconds(config_.policy.period)));
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
    if (config.location_name() != config_.location_name())
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

daemon::MakeWork fleet_work(FleetConfig config) {
    return [config = std::move(config)](daemon::Progress progress) {
        return std::make_unique<FleetWork>(config, std::move(progress));
    };
}

}  // namespace stek::fleet
