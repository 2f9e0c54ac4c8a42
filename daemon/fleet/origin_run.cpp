// How two hourly keys for one (epoch, revision) are kept from coming about:
//
// - What is minted is durable before it is offered, and create() alone offers it. A key in the store is never
//   minted for again, whatever became of the first attempt.
// - What was once seen in the engine (settled) is what everybody saw: it alone may be written over noise, for
//   all that hold it write the same bytes.
// - What was only minted is never written over anything that is there. Two origins that find noise in the
//   same instant would each replace it, and locations that look in between would pin the first. They go on
//   to the next revision instead, where create() is the judge again.
// - Noise must not stop the fleet, though. Locations look at so many revisions of an epoch only; if noise is
//   in all of these, the last resort is to write over it (mint_over_noise). Who can write so much noise can
//   as well erase, so nothing is given away that the engine had not lost.
// - What an origin in the list has signed is not noise, also if the origin is retired since: it was good
// once,
//   and locations may have derived with it. Its revision is spent.
#include "daemon/fleet/origin_run.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>
#include <limits>

namespace stek::fleet {
namespace {

/// As many as locations look at.
constexpr std::uint32_t most_revisions = 32;
/// Of an epoch, in a run: a flood of noise shall not make a run last for ever. What is beyond, create()
/// finds.
constexpr std::size_t most_looked_at = 64;

using Held = BundleStore::Held;
using State = BundleStore::State;

std::string name_of(KeyId key) {
    return "bundle " + bundle_key(key);
}

}  // namespace

OriginRun::OriginRun(const OriginDesk& desk, const daemon::Now& now, const daemon::Policy& policy)
    : desk_(desk),
      policy_(policy),
      current_(policy.epoch_at(now.wall)),
      own_(desk.self.in(*desk.lists.fleet())->number) {}

template <class Act>
void OriginRun::attempt(std::uint64_t epoch, Act&& act) {
    try {
        act();
    } catch (const EngineError& error) {
        unknown_.insert(epoch);
        if (!first_)
            first_ = error;
    }
}

void OriginRun::finish(const std::optional<EngineError>& earlier) {
    desk_.report.newest_epoch = good_.empty() ? 0 : good_.rbegin()->first.epoch;
    if (earlier)
        throw EngineError(*earlier);
    if (first_)
        throw EngineError(*first_);
}

CheckedBundle OriginRun::check(Bytes frame, KeyId key) const {
    return check_bundle(frame, key, desk_.lists, policy_);
}

// --- what is there ---

void OriginRun::look(std::uint64_t furthest) {
    for (const auto& text : desk_.engine.list(bucket::hourly, ""))
        if (const auto key = parse_bundle_key(text))
            listed_.push_back(*key);
    std::ranges::sort(listed_);
    std::map<std::uint64_t, std::size_t> of_epoch;
    std::erase_if(listed_, [&](KeyId key) { return of_epoch[key.epoch]++ >= most_looked_at; });
    for (const KeyId key : keys_of_interest(furthest))
        attempt(key.epoch, [&] { (void)look_at(key); });
}

/// Those that are over are of interest if they are held and lost, or there and not held (they say what time
/// it is for other origins).
std::vector<KeyId> OriginRun::keys_of_interest(std::uint64_t furthest) const {
    std::set<KeyId> keys;
    std::set<std::uint64_t> over;
    for (auto key = listed_.rbegin(); key != listed_.rend(); ++key) {
        if (key->epoch > furthest)
            continue;
        if (key->epoch < current_ && over.insert(key->epoch).second && over.size() > most_over)
            break;
        if (key->epoch >= current_ || desk_.store.find(*key) == nullptr)
            keys.insert(*key);
    }
    for (const auto& [key, held] : desk_.store.held())
        if (key.epoch <= furthest && (key.epoch >= current_ || !std::ranges::binary_search(listed_, key)))
            keys.insert(key);
    return {keys.begin(), keys.end()};
}

OriginRun::There OriginRun::look_at(KeyId key) {
    try {
        const auto found = desk_.engine.get(bucket::hourly, bundle_key(key));
        if (!found)
            return put_back(key);
        const auto checked = check(*found, key);
        return checked.worth == Worth::good ? take(key, *found, checked) : stand_against(key, checked);
    } catch (const OversizedValue& error) {
        CheckedBundle noise;
        noise.why = error.what();
        return stand_against(key, noise);
    }
}

/// The engine has nothing there.
OriginRun::There OriginRun::put_back(KeyId key) {
    const Held* held = desk_.store.find(key);
    if (held == nullptr || held->state == State::minted)
        return There::nothing;
    const auto checked = check(held->frame, key);
    if (checked.worth != Worth::good)
        return There::nothing;
    engine_had_lost_ |= key.epoch >= current_;
    // Else somebody else has put it back, or something else has come; the next run looks at it.
    return desk_.engine.create(bucket::hourly, bundle_key(key), held->frame) ? note_good(key, checked.bundle)
                                                                             : There::occupied;
}

/// The engine has a good one.
OriginRun::There OriginRun::take(KeyId key, Bytes found, const CheckedBundle& checked) {
    const Held* held = desk_.store.find(key);
    if (held != nullptr && std::ranges::equal(held->frame, found))
        desk_.store.settle(key);
    else if (held != nullptr && held->state == State::settled &&
             check(held->frame, key).worth != Worth::noise)
        alarm(name_of(key) + " in the engine, signed by party " + std::to_string(checked.signer) +
              ", is another one than the one that is held: two hourly keys for one epoch and revision");
    else
        desk_.store.keep(key, found, State::settled);
    return note_good(key, checked.bundle);
}

/// The engine has something that is not good.
OriginRun::There OriginRun::stand_against(KeyId key, const CheckedBundle& checked) {
    const Held* held = desk_.store.find(key);
    const auto ours = held != nullptr ? check(held->frame, key) : CheckedBundle{};
    if (ours.worth == Worth::good && held->state == State::settled) {
        alarm(name_of(key) + " was written over, and is put back: " + checked.why);
        desk_.engine.put(bucket::hourly, bundle_key(key), held->frame);
        return note_good(key, ours.bundle);
    }
    alarm(name_of(key) + " in the engine is of no use: " + checked.why);
    (checked.worth == Worth::noise ? noise_ : spent_).insert(key);
    return There::occupied;
}

OriginRun::There OriginRun::note_good(KeyId key, const Bundle& bundle) {
    good_[key] = {is_for_active_only(bundle, *desk_.lists.fleet())};
    return There::good;
}

std::vector<std::uint64_t> OriginRun::epochs_there() const {
    std::set<std::uint64_t> epochs;
    for (const auto& [key, good] : good_)
        if (key.epoch >= current_)
            epochs.insert(key.epoch);
    return {epochs.begin(), epochs.end()};
}

const OriginRun::Good* OriginRun::newest_good(std::uint64_t epoch) const {
    const auto after = good_.upper_bound({epoch, std::numeric_limits<std::uint32_t>::max()});
    if (after == good_.begin() || std::prev(after)->first.epoch != epoch)
        return nullptr;
    return &std::prev(after)->second;
}

// --- what is to be there ---

void OriginRun::provide(std::uint64_t epoch, Minting minting) {
    // Not known to have none is no reason to mint another.
    if (newest_good(epoch) != nullptr || unknown_.contains(epoch))
        return;
    attempt(epoch, [&] {
        if (!offer_minted(epoch) && minting == Minting::yes)
            (void)mint_next(epoch);
    });
}

void OriginRun::renew(std::uint64_t epoch) {
    if (unknown_.contains(epoch))
        return;
    attempt(epoch, [&] {
        // Another origin that did not know the new list yet may have been first: then once more.
        for (std::uint32_t times = 0; times < most_revisions && mint_next(epoch); ++times)
            if (newest_good(epoch)->for_active_only)
                return;
        alarm("epoch " + std::to_string(epoch) + " could not be renewed");
    });
}

/// What was minted when somebody was killed, or the engine would not have it.
bool OriginRun::offer_minted(std::uint64_t epoch) {
    std::vector<KeyId> minted;
    for (const auto& [key, held] : desk_.store.held())
        if (key.epoch == epoch && held.state == State::minted && !spent_.contains(key) &&
            !noise_.contains(key))
            minted.push_back(key);
    return std::ranges::any_of(minted, [this](KeyId key) {
        const auto checked = check(desk_.store.find(key)->frame, key);
        return checked.worth == Worth::good && is_for_active_only(checked.bundle, *desk_.lists.fleet()) &&
               offer(key) == There::good;
    });
}

OriginRun::There OriginRun::offer(KeyId key) {
    const auto frame = desk_.store.find(key)->frame;
    if (!desk_.engine.create(bucket::hourly, bundle_key(key), frame))
        return look_at(key);
    desk_.store.settle(key);
    return note_good(key, check(frame, key).bundle);
}

/// True when the engine has a good one of a higher revision than all that was known.
bool OriginRun::mint_next(std::uint64_t epoch) {
    const auto recipients = recipients_for(epoch, desk_.lists, desk_.engine);
    for (const auto& trouble : recipients.troubles)
        alarm(trouble);
    if (recipients.all.empty())
        return false;  // the first vault to be enrolled shall not wait until these are over
    for (auto key = next_unused(epoch); key; key = next_unused(epoch)) {
        if (noise_.contains(*key))
            return mint_over_noise(*key, recipients);
        keep_minted(*key, recipients);
        if (offer(*key) == There::good)
            return true;
    }
    alarm("epoch " + std::to_string(epoch) + " has no revision left");
    return false;
}

bool OriginRun::mint_over_noise(KeyId key, const Recipients& recipients) {
    keep_minted(key, recipients);
    noise_.erase(key);
    if (look_at(key) == There::good)
        return true;  // somebody else has meanwhile
    if (spent_.contains(key))
        return false;
    const auto frame = desk_.store.find(key)->frame;
    desk_.engine.put(bucket::hourly, bundle_key(key), frame);
    noise_.erase(key);
    return look_at(key) == There::good;
}

void OriginRun::keep_minted(KeyId key, const Recipients& recipients) {
    const auto frame = mint(key, hash_before(key), recipients.all, desk_.self, own_, policy_, desk_.fill);
    desk_.store.keep(key, frame, State::minted);
    desk_.report.without_pre_key = recipients.without_pre_key;
}

/// Above all revisions that an origin has signed, and not where noise is; if locations would not look that
/// far, the first with noise. Nothing if there is none.
std::optional<KeyId> OriginRun::next_unused(std::uint64_t epoch) const {
    std::uint64_t revision = 0;
    const auto pass = [&](KeyId key) {
        if (key.epoch == epoch)
            revision = std::max<std::uint64_t>(revision, std::uint64_t{key.revision} + 1);
    };
    std::ranges::for_each(spent_, pass);
    for (const auto& [key, good] : good_)
        pass(key);
    for (const auto& [key, held] : desk_.store.held())
        pass(key);
    if (revision > std::numeric_limits<std::uint32_t>::max())
        return {};
    const KeyId lowest{epoch, static_cast<std::uint32_t>(revision)};
    KeyId key = lowest;
    while (noise_.contains(key) && key.revision < most_revisions)
        ++key.revision;
    return key.revision < most_revisions ? key : lowest;
}

/// For people who look for a gap.
Digest OriginRun::hash_before(KeyId key) const {
    const auto& all = desk_.store.held();
    for (auto at = all.lower_bound(key); at != all.begin();) {
        const Held& held = (--at)->second;
        if (held.state == State::settled && held.frame.size() >= frame_overhead)
            return frame_hash(held.frame);
    }
    return {};
}

// --- what is over ---

void OriginRun::tidy() {
    std::vector<std::uint64_t> epochs;
    for (const auto& [key, held] : desk_.store.held())
        if (epochs.empty() || epochs.back() != key.epoch)
            epochs.push_back(key.epoch);
    const auto first = first_kept_epoch(current_, epochs, newest_of_others());
    for (const KeyId key : listed_)
        if (key.epoch < first)
            attempt(key.epoch, [&] { desk_.engine.erase(bucket::hourly, bundle_key(key)); });
    desk_.store.drop_before(first);
}

std::optional<std::uint64_t> OriginRun::newest_of_others() const {
    const auto is_anothers = [this](const Held& held) {
        try {
            const auto signer = peek_frame(held.frame, Kind::bundle, desk_.lists.fleet_id()).signer;
            const Party* party = desk_.lists.fleet()->find(signer);
            return signer != own_ && party != nullptr && party->role == Role::origin &&
                   party->standing == Standing::active;
        } catch (const FrameError&) {
            return false;
        }
    };
    const auto& all = desk_.store.held();
    for (auto at = all.rbegin(); at != all.rend(); ++at)
        if (is_anothers(at->second))
            return at->first.epoch;
    return {};
}

}  // namespace stek::fleet
