#include "daemon/rotation.hpp"

#include "daemon/log.hpp"
#include "daemon/places.hpp"
#include "daemon/ring_place.hpp"
#include "daemon/ticket_remake.hpp"
#include "daemon/token_backup.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

constexpr int most_passes = 8;

}  // namespace

Rotation::Rotation(Config config, Progress progress)
    : config_(std::move(config)),
      progress_(std::move(progress)),
      readers_(config_.readers),
      directory_(config_.state) {
    load_state();
}

namespace {

/// Tokens that are open need not be opened anew: that costs logins, and a PIN file that is wrong by now must
/// not end a stekd that is logged in.
bool same_tokens(const Config& a, const Config& b) {
    return a.vault.text() == b.vault.text() && a.ticket.text() == b.ticket.text() &&
           a.private_pairs == b.private_pairs && a.module_config == b.module_config &&
           a.provider == b.provider;
}

}  // namespace

// What the settings change, and what a run with them may have made of it.
struct Rotation::Before {
    Config config;
    Readers readers;
    State state;
    KeyRing ring;
    bool unpublished, revoked_are_seen;
    std::optional<ino_t> ring_inode;
};

Rotation::Next Rotation::reconfigure(Config config) {
    Readers readers(config.readers);
    if (config.state != config_.state)
        throw ConfigError("paths.state cannot change while stekd runs; restart it");
    Before before{config_, readers_, state_, copy_of(ring_), unpublished_, revoked_are_seen_, ring_inode_};
    const bool same = same_tokens(config, config_);
    const bool ring_moves = config.keyring != config_.keyring;
    if (!same)
        tokens_.reset();
    readers_ = std::move(readers);
    config_ = std::move(config);
    unpublished_ = unpublished_ || ring_moves;  // the keys go with it
    try {
        if (tokens_)
            give_access(*tokens_);
        const auto next = run();
        std::error_code cannot;
        if (ring_moves && !std::filesystem::remove(before.config.keyring, cannot) && cannot)
            log(LOG_WARNING, "cannot remove the key ring from where it was, " + before.config.keyring + ": " +
                                 cannot.message());
        return next;
    } catch (...) {
        go_back(std::move(before), !same);
        throw;
    }
}

// The ring file of before is as it was; what is in memory would be taken for a newer one.
void Rotation::go_back(Before before, bool other_tokens) {
    if (other_tokens)
        tokens_.reset();
    readers_ = std::move(before.readers);
    config_ = std::move(before.config);
    ring_ = std::move(before.ring);
    unpublished_ = before.unpublished;
    revoked_are_seen_ = before.revoked_are_seen;
    ring_inode_ = before.ring_inode;
    try {
        if (tokens_)
            give_access(*tokens_);
    } catch (const std::system_error& error) {
        log(LOG_WARNING, error.what());  // the next opening gives it
    }
    if (state_.token_serial == before.state.token_serial)
        return;
    // What was reserved meanwhile stays reserved; of the token before, all is known again.
    state_.token_serial = before.state.token_serial;
    state_.enforcing_serial = before.state.enforcing_serial;
    state_.weaknesses = before.state.weaknesses;
    state_.public_keys = before.state.public_keys;
    state_.memory.pairs = before.state.memory.pairs;
    state_.memory.condemned = before.state.memory.condemned;
}

void Rotation::load_state() {
    state_ = directory_.load_or_set_aside();
    // Ages count in the CLOCK_BOOTTIME of one boot. What was made in another has none, and goes.
    if (state_.boot_id != current_boot_id()) {
        state_.memory.pairs.clear();
        state_.public_keys.clear();
    }
}

bool Rotation::ring_is_there() const {
    return ::access(config_.keyring.c_str(), F_OK) == 0;
}

std::unique_ptr<Tokens> Rotation::open_tokens() {
    for (const auto& mended : mend_tokens(config_.module_config, config_.state, claims_))
        log(LOG_WARNING, "a kill in a login had emptied token.object; put back in " + mended);
    try {
        return std::make_unique<Tokens>(config_, claims_, state_.token_serial);
    } catch (const TicketTokenLost& loss) {
        remake({config_.ticket, config_.module_config, config_.remake_pins, state_.token_serial,
                ring_is_there()},
               loss);
    }
    return std::make_unique<Tokens>(config_, claims_, state_.token_serial);
}

void Rotation::back_up_tokens(const Tokens& tokens) const {
    try {
        tokens.back_up(config_.state);
    } catch (const std::system_error& error) {
        log(LOG_WARNING, std::string("no copy of the tokens' token.object: ") + error.what());
    }
}

// A token that is gone is looked for anew at once.
void Rotation::check_present() {
    try {
        if (tokens_)
            tokens_->check_present();
    } catch (const pkcs11::TokenError& error) {
        log(LOG_WARNING, error.what());
        tokens_.reset();
    }
}

void Rotation::open() {
    check_present();
    if (tokens_)
        return;
    make_places(config_, readers_);
    auto tokens = open_tokens();
    claims_.keep_only(tokens->directories());
    back_up_tokens(*tokens);
    probed_ = false;
    if (tokens->one_token_for_both())
        log(LOG_WARNING,
            "one token is both vault and ticket token: whoever may log in to it as a server can derive "
            "with "
            "the chain key");
    if (state_.token_serial != tokens->ticket_serial()) {
        if (!state_.token_serial.empty() && ring_is_there())
            log(LOG_WARNING, "the ticket token is another one: keys for the old one are dropped",
                {{"STEK_SERIAL", tokens->ticket_serial()}});
        state_.token_serial = tokens->ticket_serial();
        state_.memory.pairs.clear();
        state_.memory.condemned.clear();
        state_.public_keys.clear();
    }
    if (const auto removed = tokens->sweep_unfinished(); removed != 0)
        log(LOG_NOTICE, "what a kill left of unfinished objects is removed: " + std::to_string(removed));
    // A kill between destroying a pair and saving that.
    const auto present = list_ticket_pairs(tokens->ticket());
    const auto gone = [&](const PairId& id) { return std::ranges::find(present, id) == present.end(); };
    std::erase_if(state_.memory.pairs, [&](const KnownPair& pair) { return gone(pair.id); });
    std::erase_if(state_.public_keys, [&](const auto& known) { return gone(known.first); });
    give_access(*tokens);
    tokens_ = std::move(tokens);
}

// Readers may be others than when it was made.
void Rotation::give_access(const Tokens& tokens) const {
    make_places(config_, readers_);
    tokens.give_access(readers_);
    give_ring_access(config_.keyring, readers_);
}

// Making the pair for it takes seconds on a busy machine. A token that has passed before does not keep
// servers waiting for their keys; a new one must pass first.
void Rotation::probe() {
    if (probed_)
        return;
    step();
    state_.weaknesses = weaknesses_of(tokens_->ticket(), config_.private_pairs);
    step();
    state_.enforcing_serial = state_.weaknesses.empty() ? tokens_->ticket_serial() : "";
    save_state();
    judge(state_.weaknesses, config_.allow_weak_token);
    probed_ = true;
}

std::string Rotation::why_not_ours(const KeyRing& found) const {
    if (auto why = daemon::why_not_ours(found, config_.location, tokens_->ticket_serial()); !why.empty())
        return why;
    // With the state lost the boot is not known; plan() then goes by how plausible the ages are.
    if (!state_.boot_id.empty() && state_.boot_id != current_boot_id())
        return "it is of another boot";
    return {};
}

void Rotation::take(const KeyRing& found) {
    for (const auto& record : found.records) {
        ring_.records.push_back(copy_of(*record));
        state_.memory.reserve({record->epoch, record->revision});  // if the state was lost
    }
    ring_.generation = found.generation;
}

// The file is the truth: somebody may have removed it, and a kill may have lost what was in memory. Only a
// ring that could not be published goes on, or each try would make its keys anew.
void Rotation::load_ring() {
    const bool goes_on = unpublished_ && why_not_ours(ring_).empty();
    if (!goes_on) {
        unpublished_ = revoked_are_seen_ = false;
        ring_ = {};
    }
    ring_.location = config_.location;
    ring_.token_serial = tokens_->ticket_serial();
    ring_.period = config_.policy.period;
    if (goes_on)
        return;
    std::string trouble;
    struct stat status {};
    ring_inode_ = ::stat(config_.keyring.c_str(), &status) == 0 ? std::optional(status.st_ino) : std::nullopt;
    try {
        if (const auto found = read_ring_file(config_.keyring)) {
            trouble = why_not_ours(*found);
            if (trouble.empty())
                take(*found);
        }
    } catch (const RingError& error) {
        trouble = error.what();
    }
    if (!trouble.empty() && trouble != ring_trouble_)
        log(LOG_WARNING, "the key ring is made anew: " + trouble, {{"STEK_KEYRING", config_.keyring}});
    ring_trouble_ = trouble;
    state_.boot_id = current_boot_id();
}

World Rotation::world() {
    World world;
    chain_ = Chain(tokens_->vault()).position();
    for (const auto& record : ring_.records)
        world.ring.push_back({{record->epoch, record->revision},
                              record->not_before,
                              record->seal_until,
                              record->open_until,
                              record->destroy_at,
                              record->pair});
    world.unpublished = unpublished_;
    world.chain = chain_;
    world.token_pairs = list_ticket_pairs(tokens_->ticket());
    world.memory = state_.memory;
    return world;
}

Rotation::Next Rotation::carry_out(std::optional<Order> order) {
    for (int pass = 0;; ++pass) {
        auto seen = world();
        seen.order = std::exchange(order, {});
        const auto now = read_clocks();
        const auto todo = plan(now, config_.policy, seen);
        for (const auto& action : todo.actions) {
            step();
            std::visit([this](const auto& wanted) { act(wanted); }, action);
        }
        if (todo.rests() || pass == most_passes) {
            if (now.wall < 0)
                throw std::runtime_error("the clock is before 1970: no keys until it is set");
            return {todo.next_edge, todo.next_destruction};
        }
    }
}

Rotation::Next Rotation::work(std::optional<Order> order) {
    try {
        open();
        if (state_.enforcing_serial != tokens_->ticket_serial())
            probe();
        load_ring();
        carry_out(std::move(order));
        probe();
        return carry_out({});
    } catch (const std::system_error&) {
        throw;  // a file's trouble, not the tokens': a login rewrites token.object, which a full disk
                // cuts off
    } catch (...) {
        tokens_.reset();
        throw;
    }
}

Rotation::Next Rotation::run() {
    return work({});
}

Rotation::Next Rotation::obey(const Order& order) {
    revoked_.clear();
    return work(order);
}

bool Rotation::revoking() const noexcept {
    return !state_.memory.condemned.empty() || revoked_are_seen_;
}

bool Rotation::revokes_durably() const noexcept {
    return state_is_saved_ || state_.memory.condemned.empty();
}

std::vector<WatchedFile> Rotation::must_stay() const {
    std::vector<WatchedFile> files{{config_.keyring, true, ring_inode_}};
    if (tokens_)
        for (const auto& file : tokens_->files())
            files.push_back({file, false, {}});  // each login writes to it
    return files;
}

void Rotation::report(Health& health) const {
    health.rotations = published_;
    health.last_rotation = last_published_;
    health.tokens_open = tokens_ != nullptr;
    health.chain = chain_;
    const auto current = config_.policy.epoch_at(read_clocks().wall);
    health.chain_lag = chain_ && chain_->epoch < current ? current - chain_->epoch : 0;
}

}  // namespace stek::daemon
