// The plan's actions, one by one. After each, whatever must be remembered of it is durable.
#include "daemon/log.hpp"
#include "daemon/ring_place.hpp"
#include "daemon/rotation.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace stek::daemon {
namespace {

std::string name_of(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

bool before(const std::unique_ptr<RingRecord>& a, const std::unique_ptr<RingRecord>& b) {
    return KeyId{a->epoch, a->revision} < KeyId{b->epoch, b->revision};
}

}  // namespace

void Rotation::save_state() {
    directory_.save(state_);
    state_is_saved_ = true;
}

// For what a kill may forget: tokens and ring tell it as well.
void Rotation::save_if_possible() {
    try {
        save_state();
    } catch (const std::system_error& error) {
        if (std::exchange(state_is_saved_, false))
            log(LOG_WARNING,
                std::string("the state is kept in memory until it can be saved: ") + error.what());
    }
}

template <typename Change>
void Rotation::remember(const Change& change) {
    const auto before = state_;
    change();
    try {
        save_state();
    } catch (...) {
        state_ = before;
        throw;
    }
}

void Rotation::act(const MakeChain& action) {
    Chain chain(tokens_->vault());
    chain.make(action.at);
    chain.destroy_older();
    log(LOG_NOTICE, "chain key made", {{"STEK_EPOCH", std::to_string(action.at.epoch)}});
}

void Rotation::act(const MakePair& action) {
    const auto pair = make_ticket_pair(tokens_->ticket(), config_.private_pairs);
    tokens_->give_access(readers_);
    try {
        remember([&] {
            state_.memory.pairs.push_back({pair.id, action.slot, read_clocks().boot});
            state_.public_keys[pair.id] = pair.spki;
        });
    } catch (const std::system_error&) {
        // Or each try on a full disk would leave another pair.
        destroy_ticket_pair(tokens_->ticket(), pair.id);
        throw;
    }
    log(LOG_INFO, "key pair made", {{"STEK_PAIR", hex(pair.id)}});
}

void Rotation::act(const Derive& action) {
    // Reserved first, durably: a kill after this costs a revision number, never a name used twice.
    remember([&] { state_.memory.reserve(action.key, action.index); });
    const auto present = list_ticket_pairs(tokens_->ticket());
    const KnownPair* pair = nullptr;
    for (const auto& known : state_.memory.pairs)
        if (known.slot == action.slot && !state_.memory.is_condemned(known.id) &&
            std::find(present.begin(), present.end(), known.id) != present.end())
            pair = &known;  // the newest
    if (pair == nullptr)
        throw pkcs11::TokenError("the key pair of slot " + std::to_string(action.slot) + " is gone");
    const auto at = Chain(tokens_->vault()).position();
    if (!at || at->index + action.steps != action.index)
        throw pkcs11::TokenError("the chain key is not where it was");

    Secret hourly_key(hourly_key_size);
    tokens_->vault().random(hourly_key.span());
    WrappedStek stek;
    tokens_->deriver().derive(at->epoch + action.steps, action.key.revision, hourly_key.bytes(),
                              state_.public_keys.at(pair->id), tokens_->oaep(), stek);
    auto record = std::make_unique<RingRecord>();
    record->epoch = action.key.epoch;
    record->revision = action.key.revision;
    record->not_before = action.not_before;
    record->seal_until = action.seal_until;
    record->open_until = action.open_until;
    record->destroy_at = action.destroy_at;
    record->name = stek.name;
    std::copy_n(stek.admission_key.data(), stek.admission_key.size(), record->admission_key.data());
    record->pair = pair->id;
    record->oaep = stek.oaep;
    record->wrapped_key = std::move(stek.wrapped_key);
    ring_.records.insert(std::upper_bound(ring_.records.begin(), ring_.records.end(), record, before),
                         std::move(record));
    unpublished_ = true;
    log(LOG_INFO, "key " + name_of(action.key) + " made",
        {{"STEK_EPOCH", std::to_string(action.key.epoch)},
         {"STEK_REVISION", std::to_string(action.key.revision)},
         {"STEK_KEY_NAME", hex(stek.name)}});
}

void Rotation::act(const Retire& action) {
    std::erase_if(ring_.records, [&](const auto& record) {
        return KeyId{record->epoch, record->revision} == action.key;
    });
    unpublished_ = true;
    if (action.revoked) {
        revoked_.push_back(action.key);
        revoked_are_seen_ = true;
    }
    log(action.revoked ? LOG_NOTICE : LOG_INFO, "key " + name_of(action.key) + " retired: " + action.why,
        {{"STEK_EPOCH", std::to_string(action.key.epoch)},
         {"STEK_REVISION", std::to_string(action.key.revision)}});
}

void Rotation::act(const Publish&) {
    ring_.generation = std::max(ring_.generation, state_.generation) + 1;
    ring_.written_at = read_clocks().wall;
    state_.generation = ring_.generation;
    // What leaves the ring leaves it though the state cannot be saved. The ring has its generation in itself;
    // should both be lost, it comes a second time, and tells servers no less that the file is another one.
    save_if_possible();
    ring_inode_ = publish_ring(ring_, config_.keyring, config_.ring_version, readers_);
    unpublished_ = revoked_are_seen_ = false;
    ++published_;
    last_published_ = ring_.written_at;
    log(LOG_INFO, "key ring published",
        {{"STEK_GENERATION", std::to_string(ring_.generation)},
         {"STEK_RECORDS", std::to_string(ring_.records.size())}});
}

void Rotation::act(const Advance& action) {
    Chain(tokens_->vault()).advance(action.steps, action.epoch);
    log(LOG_INFO, "chain key advanced", {{"STEK_EPOCH", std::to_string(action.epoch)}});
}

void Rotation::forget_pair(const PairId& id) {
    std::erase_if(state_.memory.pairs, [&](const KnownPair& pair) { return pair.id == id; });
    const bool was_condemned = std::erase(state_.memory.condemned, id) != 0;
    // The plan passes over what is in no token.
    if (state_.public_keys.erase(id) != 0 || was_condemned)
        save_if_possible();
}

void Rotation::act(const DestroyPair& action) {
    destroy_ticket_pair(tokens_->ticket(), action.id);
    forget_pair(action.id);
    log(action.stray ? LOG_WARNING : LOG_INFO,
        action.stray ? "stray key pair destroyed" : "key pair destroyed", {{"STEK_PAIR", hex(action.id)}});
}

void Rotation::act(const Alarm& action) {
    log(LOG_WARNING, action.text);
}

void Rotation::act(const EndSealing& action) {
    for (auto& record : ring_.records)
        if (KeyId{record->epoch, record->revision} == action.key)
            record->seal_until = action.at;
    unpublished_ = true;
    log(LOG_INFO, "key " + name_of(action.key) + " seals no more",
        {{"STEK_EPOCH", std::to_string(action.key.epoch)},
         {"STEK_REVISION", std::to_string(action.key.revision)}});
}

void Rotation::act(const MarkRotation& action) {
    remember([&] { state_.memory.rotated_past = action.past; });
}

void Rotation::act(const Condemn& action) {
    // A kill between destroying a pair and saving that leaves an id behind that is in no token.
    const auto present = list_ticket_pairs(tokens_->ticket());
    auto& condemned = state_.memory.condemned;
    std::erase_if(condemned, [&](const PairId& id) {
        return std::find(present.begin(), present.end(), id) == present.end();
    });
    condemned.push_back(action.id);
    save_if_possible();
    log(LOG_NOTICE, "key pair revoked", {{"STEK_PAIR", hex(action.id)}});
}

}  // namespace stek::daemon
