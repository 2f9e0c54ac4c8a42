// What a party knows of the values in NATS without asking: what it has stored, what it was told of, and what
// it has read where it would be told of a change.
#pragma once

#include "daemon/fleet/nats_bell.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace stek::fleet {

/// The last that was stored under a key.
struct Stored {
    std::uint64_t sequence = 0;  ///< in its stream
    bool is_erased = false;      ///< ADR-8: marked so, and without a value
    std::vector<std::uint8_t> value;
};

/// By subject of a value, subject::value(). One thread at a time.
///
/// What was read is remembered while its changes are told, and is forgotten when one is. NATS does not say
/// that it told of a change which did not arrive, so there are two limits: whoever looks each minute has all
/// forgotten first (forget()), and for a minute after any trouble with the servers nothing is remembered.
/// What is told is heard when the watch is cleared, not before: a run sees what was there when it began.
class KnownValues {
  public:
    using Time = std::chrono::steady_clock::time_point;
    /// At most, in bytes and an allowance for each: a location of 1,000 machines comes to 5 MB.
    static constexpr std::size_t most_remembered = std::size_t{32} << 20;
    /// Told since the last forget(): then all is forgotten. A thousand machines tell of some thousands an
    /// hour.
    static constexpr std::size_t most_told = 16384;
    /// For so long a copy may lag behind what is known to be stored.
    static constexpr auto longest_lag = std::chrono::seconds(2);
    static constexpr auto mistrust = std::chrono::seconds(60);

    /// `roles`: of more than one, what one has stored or read is news for another.
    explicit KnownValues(std::size_t roles) : has_one_role_(roles == 1) {}

    /// From now on changes are told of all subjects that the patterns cover, until they are taken back.
    void begin_hearing(const std::vector<std::string>& patterns);
    void end_hearing(const std::vector<std::string>& patterns);
    /// False for what this party has stored itself, or has read since.
    bool hear(const NatsChange& change, Time now);

    /// There is something, whatever was read: whoever answers with nothing, or with less than is known of,
    /// lags behind.
    void note_there(const std::string& subject, Time now);
    /// What was read is not remembered: told of it, this party has news.
    void unread(const std::string& subject);
    /// This party has stored it.
    void note_own(const std::string& subject, Stored stored, Time now);
    /// This party has removed it, and the mark that it was erased.
    void note_purged(const std::string& subject);
    /// Of the last that was noted; 0: none.
    [[nodiscard]] std::uint64_t sequence_of(const std::string& subject) const;
    [[nodiscard]] bool lags(const std::string& subject, const std::optional<Stored>& answer, Time now) const;

    /// The answer, nothing for nothing there, is remembered where that may be.
    void remember(const std::string& subject, const std::optional<Stored>& answer, Time now);
    /// Null: to be asked for. Good until the next call of anything that is not const.
    [[nodiscard]] const std::optional<Stored>* recall(const std::string& subject) const;
    /// The subjects that begin with `beginning`, which ends in a dot.
    void remember_subjects(const std::string& beginning, const std::vector<std::string>& subjects, Time now);
    [[nodiscard]] std::optional<std::vector<std::string>> recall_subjects(const std::string& beginning) const;

    /// What was read, not what is known to be stored.
    void forget(Time now);
    /// At that time something went wrong with the servers. False if that was said before.
    bool note_trouble(Time at);

  private:
    struct Known {
        std::uint64_t sequence = 0;
        bool is_own = false;
        std::optional<Time> lags_until;
        std::optional<std::optional<Stored>> read;
    };
    [[nodiscard]] bool is_heard_of(const std::string& subject) const;
    [[nodiscard]] bool all_are_heard_of(const std::string& beginning) const;
    [[nodiscard]] bool is_trusted(Time now) const { return !trouble_ || now - *trouble_ > mistrust; }
    void note(const std::string& subject, std::uint64_t sequence, Time now);
    void put_read(Known& known, std::optional<Stored> answer);
    void drop_read(Known& known);
    /// Those of which nothing is known that still matters.
    void drop_idle(Time now);
    void add_to_lists(const std::string& subject);
    void drop_from_lists(const std::string& subject);

    bool has_one_role_;
    std::vector<std::string> heard_;
    std::map<std::string, Known> known_;
    std::map<std::string, std::set<std::string>> lists_;
    std::size_t remembered_ = 0;  ///< bytes
    std::size_t told_ = 0;        ///< since the last forget()
    std::optional<Time> next_sweep_;
    std::optional<Time> trouble_;
};

}  // namespace stek::fleet
