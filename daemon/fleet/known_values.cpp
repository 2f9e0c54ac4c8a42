#include "daemon/fleet/known_values.hpp"

#include "daemon/fleet/nats_access.hpp"

#include <algorithm>
#include <utility>

namespace stek::fleet {
namespace {

/// Of those that nothing is remembered of: then the ones that cannot lag any more are dropped.
constexpr std::size_t many = 4096;

/// Of a subject, and what the maps need for it.
constexpr std::size_t allowance = 256;

std::size_t size_of(const std::optional<Stored>& answer) noexcept {
    return allowance + (answer ? answer->value.size() : 0);
}

}  // namespace

void KnownValues::begin_hearing(const std::vector<std::string>& patterns) {
    heard_.insert(heard_.end(), patterns.begin(), patterns.end());
}

void KnownValues::end_hearing(const std::vector<std::string>& patterns) {
    for (const auto& pattern : patterns)
        if (const auto found = std::ranges::find(heard_, pattern); found != heard_.end())
            heard_.erase(found);
    for (auto& [subject, known] : known_)
        if (!is_heard_of(subject))
            drop_read(known);
    std::erase_if(lists_, [this](const auto& list) { return !all_are_heard_of(list.first); });
}

bool KnownValues::is_heard_of(const std::string& subject) const {
    return is_covered(heard_, subject);
}

// Nobody is granted a key of another form than one of the patterns that readers are granted.
bool KnownValues::all_are_heard_of(const std::string& beginning) const {
    return std::ranges::any_of(heard_, [&](const auto& pattern) {
        return pattern.starts_with(beginning) &&
               pattern.find_first_not_of("*.>", beginning.size()) == std::string::npos;
    });
}

bool KnownValues::hear(const NatsChange& change, Time now) {
    if (++told_ > most_told)
        forget(now);
    Known& known = known_[change.subject];
    const bool is_known =
        change.sequence != 0 && known.sequence == change.sequence && (known.is_own || known.read);
    if (!is_known) {
        drop_read(known);
        known.sequence = change.sequence;
        known.is_own = false;
        // An erased one may be purged by now, and no copy has it any more.
        known.lags_until = change.is_erased ? std::nullopt : std::optional(now + longest_lag);
        if (change.is_erased && is_trusted(now))
            put_read(known, Stored{change.sequence, true, {}});
        if (change.is_erased)
            drop_from_lists(change.subject);
        else
            add_to_lists(change.subject);
    }
    return !is_known || !has_one_role_;
}

void KnownValues::note(const std::string& subject, std::uint64_t sequence, Time now) {
    if (known_.size() > many && (!next_sweep_ || *next_sweep_ <= now)) {
        drop_idle(now);
        next_sweep_ = now + longest_lag;
    }
    Known& known = known_[subject];
    drop_read(known);
    known = {sequence, false, now + longest_lag, {}};
    add_to_lists(subject);
}

void KnownValues::note_there(const std::string& subject, Time now) {
    note(subject, std::max<std::uint64_t>(sequence_of(subject), 1), now);
}

void KnownValues::unread(const std::string& subject) {
    if (const auto known = known_.find(subject); known != known_.end())
        drop_read(known->second);
}

void KnownValues::note_own(const std::string& subject, Stored stored, Time now) {
    note(subject, stored.sequence, now);
    if (stored.is_erased)
        drop_from_lists(subject);
    Known& known = known_[subject];
    known.is_own = true;
    if (is_trusted(now) && is_heard_of(subject))
        put_read(known, std::move(stored));
}

void KnownValues::note_purged(const std::string& subject) {
    drop_from_lists(subject);
    const auto found = known_.find(subject);
    if (found == known_.end())
        return;
    Known& known = found->second;
    known.lags_until.reset();
    if (!known.read)
        return;
    drop_read(known);
    put_read(known, std::nullopt);
}

std::uint64_t KnownValues::sequence_of(const std::string& subject) const {
    const auto known = known_.find(subject);
    return known != known_.end() ? known->second.sequence : 0;
}

bool KnownValues::lags(const std::string& subject, const std::optional<Stored>& answer, Time now) const {
    const auto known = known_.find(subject);
    return known != known_.end() && known->second.lags_until && now < *known->second.lags_until &&
           (!answer || answer->sequence < known->second.sequence);
}

void KnownValues::remember(const std::string& subject, const std::optional<Stored>& answer, Time now) {
    if (!is_trusted(now) || !is_heard_of(subject))
        return;
    Known& known = known_[subject];
    // Nobody had better to say, and what is told of it may have been heard already.
    if (known.lags_until && (!answer || answer->sequence < known.sequence))
        return;
    drop_read(known);
    if (answer && answer->sequence != known.sequence)
        known = {answer->sequence, false, {}, {}};
    put_read(known, answer);
}

const std::optional<Stored>* KnownValues::recall(const std::string& subject) const {
    const auto known = known_.find(subject);
    return known != known_.end() && known->second.read ? &*known->second.read : nullptr;
}

void KnownValues::remember_subjects(const std::string& beginning, const std::vector<std::string>& subjects,
                                    Time now) {
    if (is_trusted(now) && all_are_heard_of(beginning))
        lists_[beginning] = {subjects.begin(), subjects.end()};
}

std::optional<std::vector<std::string>> KnownValues::recall_subjects(const std::string& beginning) const {
    const auto list = lists_.find(beginning);
    if (list == lists_.end())
        return {};
    return std::vector<std::string>(list->second.begin(), list->second.end());
}

void KnownValues::forget(Time now) {
    lists_.clear();
    remembered_ = 0;
    told_ = 0;
    for (auto& [subject, known] : known_)
        known.read.reset();
    drop_idle(now);
}

void KnownValues::drop_idle(Time now) {
    std::erase_if(known_, [&](const auto& entry) {
        return !entry.second.read && (!entry.second.lags_until || *entry.second.lags_until < now);
    });
}

bool KnownValues::note_trouble(Time at) {
    if (trouble_ && *trouble_ >= at)
        return false;
    trouble_ = at;
    forget(at);
    return true;
}

void KnownValues::put_read(Known& known, std::optional<Stored> answer) {
    const auto size = size_of(answer);
    if (remembered_ + size > most_remembered)
        return;
    remembered_ += size;
    known.read = std::move(answer);
}

void KnownValues::drop_read(Known& known) {
    if (known.read)
        remembered_ -= size_of(*known.read);
    known.read.reset();
}

void KnownValues::add_to_lists(const std::string& subject) {
    for (auto& [beginning, subjects] : lists_)
        if (subject.starts_with(beginning))
            subjects.insert(subject);
}

void KnownValues::drop_from_lists(const std::string& subject) {
    for (auto& [beginning, subjects] : lists_)
        subjects.erase(subject);
}

}  // namespace stek::fleet
