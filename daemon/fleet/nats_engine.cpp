#include "daemon/fleet/nats_engine.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using std::chrono::steady_clock;
using Value = std::vector<std::uint8_t>;

template <auto Free>
struct FreeBy {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};
using Ack = std::unique_ptr<jsPubAck, FreeBy<jsPubAck_Destroy>>;
using Names = std::unique_ptr<jsStreamNamesList, FreeBy<jsStreamNamesList_Destroy>>;
using Info = std::unique_ptr<jsStreamInfo, FreeBy<jsStreamInfo_Destroy>>;

/// What was read ahead longer ago is read anew.
constexpr auto good_for = std::chrono::seconds(2);
/// Headers, and what the servers add, come to less.
constexpr std::int32_t room_for_headers = 4096;
/// A copy that lags behind what this party knows to be stored is asked once more.
constexpr auto between_looks = std::chrono::milliseconds(20);
/// Whoever leads a bucket that was made just now is not always there yet: the servers may need an election,
/// which takes them 4 to 9 s.
constexpr auto between_tries = std::chrono::milliseconds(100);
constexpr std::chrono::milliseconds patience_for_leader{10'000};
/// A run has many calls, and stekd's watchdog is patient for 30 s: once it was in vain, for so long none
/// waits like that.
constexpr std::chrono::milliseconds impatience{1000};
constexpr auto impatient_for = std::chrono::seconds(30);

class NatsWatch final : public Watch {
  public:
    /// `patterns`: of the subjects of values whose changes ring the bell.
    NatsWatch(std::shared_ptr<NatsConnection> connection, std::shared_ptr<Bell> bell,
              std::shared_ptr<KnownValues> known, std::vector<std::string> patterns)
        : connection_(std::move(connection)),
          bell_(std::move(bell)),
          known_(std::move(known)),
          patterns_(std::move(patterns)) {
        known_->begin_hearing(patterns_);
    }
    NatsWatch(const NatsWatch&) = delete;
    NatsWatch& operator=(const NatsWatch&) = delete;
    ~NatsWatch() override {
        known_->end_hearing(patterns_);
        connection_->drop(bell_);
    }

    [[nodiscard]] int fd() const noexcept override { return bell_->fd(); }
    bool clear() override {
        const auto heard = bell_->quiet();
        const auto now = steady_clock::now();
        bool has_news = !heard.is_all;
        if (!heard.is_all)
            known_->forget(now);
        for (const auto& change : heard.changes)
            has_news |= known_->hear(change, now);
        if (bell_->is_retired())
            throw EngineError("the connection to " + connection_->name() + " was made anew");
        return has_news;
    }

  private:
    std::shared_ptr<NatsConnection> connection_;
    std::shared_ptr<Bell> bell_;
    std::shared_ptr<KnownValues> known_;
    std::vector<std::string> patterns_;
};

class NatsEngine final : public Engine {
  public:
    explicit NatsEngine(NatsSettings settings);

    bool create(const std::string& bucket, const std::string& key, Bytes value) override;
    void put(const std::string& bucket, const std::string& key, Bytes value) override;
    void put_all(const std::string& bucket, const std::vector<Item>& items) override;
    std::optional<Value> get(const std::string& bucket, const std::string& key) override;
    void read_ahead(const std::string& bucket, const std::vector<std::string>& keys) override;
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override;
    void erase(const std::string& bucket, const std::string& key) override;
    std::unique_ptr<Watch> watch(const std::string& bucket) override;
    void look_afresh() override {
        ahead_.clear();
        known_->forget(steady_clock::now());
    }
    void prepare(const std::vector<std::string>& buckets) override;
    [[nodiscard]] std::string name() const override { return connections_.front()->name(); }

  private:
    using Connection = std::shared_ptr<NatsConnection>;
    enum class Answer : std::uint8_t { stored, taken, nobody };

    [[nodiscard]] Connection find(const std::string& subject) const noexcept;
    /// Null, too, where it would take several, or one question is better asked alone.
    [[nodiscard]] Connection find_for_all(
        const std::vector<NatsConnection::Question>& questions) const noexcept;
    [[nodiscard]] Connection granted(const std::string& subject, const std::string& what) const;
    /// `after`: the sequence of what is replaced, 0 for nothing; without it, whatever is there.
    Answer publish(const std::string& bucket, const std::string& key, Bytes value,
                   std::optional<std::uint64_t> after, bool as_erased = false);
    bool publish_into_bucket(const std::string& bucket, const std::string& key, Bytes value,
                             std::optional<std::uint64_t> after);
    [[nodiscard]] std::optional<Stored> look(const std::string& bucket, const std::string& key);
    [[nodiscard]] std::optional<Stored> look_once(NatsConnection& connection, const std::string& bucket,
                                                  const std::string& key);
    enum class Found : std::uint8_t { none, led, leaderless };
    [[nodiscard]] Found seek(const std::string& bucket, std::chrono::milliseconds limit);
    [[nodiscard]] bool is_there(const std::string& bucket);
    /// False if no answer came: whether it is there is not certain.
    bool make_bucket(const std::string& bucket, std::chrono::milliseconds limit);
    void purge(const std::string& bucket, const std::string& key, std::uint64_t up_to);
    [[nodiscard]] static std::vector<std::string> ask_for_subjects(NatsConnection& connection,
                                                                   const std::string& bucket,
                                                                   const std::string& beginning);
    void mind_trouble();

    NatsSettings settings_;
    std::vector<Connection> connections_;
    std::shared_ptr<KnownValues> known_;  ///< watches, which may outlive the engine, tell it of changes
    std::set<std::string> there_;         ///< buckets that were seen
    /// What was read ahead and not asked for yet, by subject, and when; null: there is none.
    std::map<std::string, std::optional<Stored>> ahead_;
    steady_clock::time_point ahead_since_;
    steady_clock::time_point impatient_until_;
};

NatsEngine::NatsEngine(NatsSettings settings)
    : settings_(std::move(settings)), known_(std::make_shared<KnownValues>(settings_.members.size())) {
    for (const auto& member : settings_.members)
        connections_.push_back(
            std::make_shared<NatsConnection>(settings_.servers, member.tls, member.access));
    if (connections_.empty())
        throw std::invalid_argument("an engine without a member");
}

NatsEngine::Connection NatsEngine::find(const std::string& subject) const noexcept {
    for (const auto& connection : connections_)
        if (is_covered(connection->access().publish, subject))
            return connection;
    return nullptr;
}

NatsEngine::Connection NatsEngine::find_for_all(
    const std::vector<NatsConnection::Question>& questions) const noexcept {
    if (questions.size() < 2)
        return nullptr;
    auto first = find(questions.front().subject);
    const bool all =
        std::ranges::all_of(questions, [&](const auto& question) { return find(question.subject) == first; });
    return all ? first : nullptr;
}

NatsEngine::Connection NatsEngine::granted(const std::string& subject, const std::string& what) const {
    auto connection = find(subject);
    if (!connection)
        throw NotGranted("cannot " + what + " in " + name() + ": no certificate of this party's grants " +
                         subject);
    return connection;
}

NatsEngine::Answer NatsEngine::publish(const std::string& bucket, const std::string& key, Bytes value,
                                       std::optional<std::uint64_t> after, bool as_erased) {
    const auto subject = subject::value(bucket, key);
    const auto connection = granted(subject, "store " + bucket + "/" + key);
    auto* const jetstream = connection->jetstream();
    natsMsg* made = nullptr;
    if (const auto status =
            natsMsg_Create(&made, subject.c_str(), nullptr, reinterpret_cast<const char*>(value.data()),
                           static_cast<int>(value.size()));
        status != NATS_OK)
        connection->fail("cannot store " + bucket + "/" + key, status);
    const NatsMessage message(made);
    ahead_.erase(subject);
    if (as_erased)
        natsMsgHeader_Set(message.get(), operation_header, erased);
    jsPubOptions options;
    jsPubOptions_Init(&options);
    if (after) {
        options.ExpectNoMessage = *after == 0;
        options.ExpectLastSubjectSeq = *after;
    }
    jsPubAck* acked = nullptr;
    jsErrCode code{};
    const auto status = js_PublishMsg(&acked, jetstream, message.get(), &options, &code);
    const Ack ack(acked);
    if (status == NATS_OK) {
        known_->note_own(subject, {ack->Sequence, as_erased, {value.begin(), value.end()}},
                         steady_clock::now());
        return Answer::stored;
    }
    if (code == JSStreamWrongLastSequenceErr)
        return Answer::taken;
    there_.erase(bucket);
    if (status == NATS_NO_RESPONDERS)
        return Answer::nobody;
    connection->fail("cannot store " + bucket + "/" + key, status);
}

/// False if it is taken.
bool NatsEngine::publish_into_bucket(const std::string& bucket, const std::string& key, Bytes value,
                                     std::optional<std::uint64_t> after) {
    const auto begun = steady_clock::now();
    const bool is_patient = begun >= impatient_until_;
    const auto until = begun + (is_patient ? patience_for_leader : impatience);
    const auto left = [until] {
        return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(until - steady_clock::now()),
                          impatience, std::chrono::milliseconds(NatsConnection::answer_limit_ms));
    };
    do {
        const auto answer = publish(bucket, key, value, after);
        if (answer != Answer::nobody) {
            impatient_until_ = {};
            return answer == Answer::stored;
        }
        if (seek(bucket, left()) == Found::none)
            (void)make_bucket(bucket, left());
        std::this_thread::sleep_for(between_tries);
    } while (steady_clock::now() < until);
    if (is_patient)
        impatient_until_ = steady_clock::now() + impatient_for;
    throw EngineError("cannot store " + bucket + "/" + key + " in " + name() + ": nobody leads the bucket");
}

bool NatsEngine::create(const std::string& bucket, const std::string& key, Bytes value) {
    check_names(bucket, key);
    check_value(value);
    if (publish_into_bucket(bucket, key, value, 0))
        return true;
    // There is something: a value, or a mark that one was erased, which may be replaced.
    const auto subject = subject::value(bucket, key);
    known_->note_there(subject, steady_clock::now());
    const auto there = look(bucket, key);
    known_->unread(subject);  // by whoever wants to know what it is
    return there && there->is_erased && publish_into_bucket(bucket, key, value, there->sequence);
}

void NatsEngine::put(const std::string& bucket, const std::string& key, Bytes value) {
    check_names(bucket, key);
    check_value(value);
    (void)publish_into_bucket(bucket, key, value, std::nullopt);
}

// Where it is not certain that one was stored, it is put once more, and that says why not.
void NatsEngine::put_all(const std::string& bucket, const std::vector<Item>& items) {
    std::vector<NatsConnection::Question> questions;
    for (const auto& item : items) {
        check_names(bucket, item.key);
        check_value(item.value);
        questions.push_back({subject::value(bucket, item.key), item.value});
        ahead_.erase(questions.back().subject);
    }
    const auto connection = find_for_all(questions);
    if (!connection)
        return Engine::put_all(bucket, items);
    const auto answers = connection->ask(questions);
    for (std::size_t i = 0; i < items.size(); ++i)
        if (const auto sequence = sequence_of_ack(answers[i].get()))
            known_->note_own(questions[i].subject, {*sequence, false, items[i].value}, steady_clock::now());
        else
            put(bucket, items[i].key, items[i].value);
}

std::optional<Stored> NatsEngine::look_once(NatsConnection& connection, const std::string& bucket,
                                            const std::string& key) {
    const auto subject = subject::value(bucket, key);
    auto* const jetstream = connection.jetstream();
    if (auto found = ahead_.extract(subject); found && steady_clock::now() - ahead_since_ < good_for)
        return std::move(found.mapped());
    // Where there is no bucket, nobody would answer.
    if (!is_there(bucket))
        return std::nullopt;
    jsDirectGetMsgOptions options;
    jsDirectGetMsgOptions_Init(&options);
    options.LastBySubject = subject.c_str();
    natsMsg* got = nullptr;
    const auto status = js_DirectGetMsg(&got, jetstream, subject::stream(bucket).c_str(), nullptr, &options);
    const NatsMessage message(got);
    if (status == NATS_NOT_FOUND)
        return std::nullopt;
    if (status != NATS_OK) {
        there_.erase(bucket);
        connection.fail("cannot read " + bucket + "/" + key, status);
    }
    if (const auto size = size_of(message.get()); size > max_value)
        throw OversizedValue(bucket + "/" + key + " in " + name() + " has " + std::to_string(size) +
                             " bytes, more than " + std::to_string(max_value));
    return stored_in(message.get());
}

// Any copy answers. One that has not got so far as this party knows the bucket to be is given time.
std::optional<Stored> NatsEngine::look(const std::string& bucket, const std::string& key) {
    const auto subject = subject::value(bucket, key);
    const auto connection = granted(subject::read(bucket, key), "read " + bucket + "/" + key);
    (void)connection->jetstream();  // without a connection nothing is known
    mind_trouble();
    if (const auto* known = known_->recall(subject))
        return *known;
    auto stored = look_once(*connection, bucket, key);
    while (known_->lags(subject, stored, steady_clock::now())) {
        std::this_thread::sleep_for(between_looks);
        stored = look_once(*connection, bucket, key);
    }
    known_->remember(subject, stored, steady_clock::now());
    return stored;
}

// Before anything is recalled: what was told meanwhile may not have come.
void NatsEngine::mind_trouble() {
    for (const auto& connection : connections_)
        if (const auto trouble = connection->last_trouble(); trouble && known_->note_trouble(*trouble))
            ahead_.clear();
}

std::optional<Value> NatsEngine::get(const std::string& bucket, const std::string& key) {
    check_names(bucket, key);
    auto stored = look(bucket, key);
    if (!stored)
        return std::nullopt;
    if (!stored->is_erased)
        return std::move(stored->value);
    if (find(subject::purge(bucket)))
        purge(bucket, key, stored->sequence);
    return std::nullopt;
}

// What has no good answer is asked for once more by its get(), which knows what to say of it.
void NatsEngine::read_ahead(const std::string& bucket, const std::vector<std::string>& keys) {
    ahead_.clear();
    for (const auto& key : keys)
        check_names(bucket, key);
    mind_trouble();
    std::vector<NatsConnection::Question> questions;
    std::vector<std::string> subjects;
    for (const auto& key : keys)
        if (auto subject = subject::value(bucket, key); known_->recall(subject) == nullptr) {
            subjects.push_back(std::move(subject));
            questions.push_back({subject::read(bucket, key), {}});
        }
    const auto connection = find_for_all(questions);
    if (!connection || !is_there(bucket))
        return;
    ahead_since_ = steady_clock::now();
    const auto answers = connection->ask(questions);
    for (std::size_t i = 0; i < subjects.size(); ++i) {
        auto* const answer = answers[i].get();
        const auto status = answer != nullptr ? header_of(answer, status_header) : "";
        if (status == not_found)
            ahead_[subjects[i]] = std::nullopt;
        else if (answer != nullptr && status.empty() && size_of(answer) <= max_value)
            ahead_[subjects[i]] = stored_in(answer);
    }
}

std::vector<std::string> NatsEngine::list(const std::string& bucket, const std::string& prefix) {
    check_bucket(bucket);
    const auto connection = granted(subject::info(bucket), "list " + bucket);
    (void)connection->jetstream();
    // NATS goes by whole tokens.
    const auto dot = prefix.rfind('.');
    const auto beginning = subject::value(bucket, dot == std::string::npos ? "" : prefix.substr(0, dot + 1));
    mind_trouble();
    auto subjects = known_->recall_subjects(beginning);
    if (!subjects) {
        subjects = ask_for_subjects(*connection, bucket, beginning);
        known_->remember_subjects(beginning, *subjects, steady_clock::now());
    }
    std::vector<std::string> keys;
    const auto before = subject::value(bucket, "").size();
    for (const auto& subject : *subjects) {
        auto key = subject.substr(std::min(before, subject.size()));
        if (key.starts_with(prefix) && fit_for_key(key))
            keys.push_back(std::move(key));
    }
    std::ranges::sort(keys);
    return keys;
}

std::vector<std::string> NatsEngine::ask_for_subjects(NatsConnection& connection, const std::string& bucket,
                                                      const std::string& beginning) {
    const auto filter = beginning + ">";
    jsOptions options;
    jsOptions_Init(&options);
    options.Stream.Info.SubjectsFilter = filter.c_str();
    jsStreamInfo* got = nullptr;
    jsErrCode code{};
    const auto status =
        js_GetStreamInfo(&got, connection.jetstream(), subject::stream(bucket).c_str(), &options, &code);
    const Info info(got);
    if (code == JSStreamNotFoundErr || status == NATS_NOT_FOUND)
        return {};
    if (status != NATS_OK)
        connection.fail("cannot list " + bucket, status);
    std::vector<std::string> found;
    if (const auto* subjects = info->State.Subjects; subjects != nullptr)
        for (int i = 0; i < subjects->Count; ++i)
            found.emplace_back(subjects->List[i].Subject);
    return found;
}

void NatsEngine::erase(const std::string& bucket, const std::string& key) {
    check_names(bucket, key);
    (void)granted(subject::value(bucket, key), "erase " + bucket + "/" + key);
    const auto there = look(bucket, key);
    if (!there)
        return;
    auto sequence = there->sequence;
    // The mark is what others hear of.
    if (!there->is_erased) {
        if (publish(bucket, key, {}, std::nullopt, true) != Answer::stored)
            return;
        sequence = known_->sequence_of(subject::value(bucket, key));
    }
    if (find(subject::purge(bucket)))
        purge(bucket, key, sequence);
}

void NatsEngine::purge(const std::string& bucket, const std::string& key, std::uint64_t up_to) {
    const auto subject = subject::value(bucket, key);
    const auto connection = granted(subject::purge(bucket), "purge " + bucket + "/" + key);
    auto* const jetstream = connection->jetstream();
    jsOptions options;
    jsOptions_Init(&options);
    options.Stream.Purge.Subject = subject.c_str();
    options.Stream.Purge.Sequence = up_to + 1;
    jsErrCode code{};
    const auto status = js_PurgeStream(jetstream, subject::stream(bucket).c_str(), &options, &code);
    known_->note_purged(subject);
    if (status != NATS_OK && code != JSStreamNotFoundErr)
        connection->fail("cannot erase " + bucket + "/" + key, status);
}

std::unique_ptr<Watch> NatsEngine::watch(const std::string& bucket) {
    check_bucket(bucket);
    const auto beginning = subject::changed(bucket, "");
    for (const auto& connection : connections_) {
        std::vector<std::string> subjects;
        if (is_covered(connection->access().subscribe, beginning + ">"))
            subjects.push_back(beginning + ">");
        else
            std::ranges::copy_if(connection->access().subscribe, std::back_inserter(subjects),
                                 [&](const auto& subject) { return subject.starts_with(beginning); });
        if (subjects.empty())
            continue;
        auto bell = connection->listen(subjects);
        std::ranges::transform(subjects, subjects.begin(), subject::of_change);
        return std::make_unique<NatsWatch>(connection, std::move(bell), known_, std::move(subjects));
    }
    throw NotGranted("cannot watch " + bucket + " in " + name() +
                     ": no certificate of this party's grants it");
}

// --- buckets ---

/// Asked once, and once more after each failure. Of a bucket that nobody leads, nobody may tell.
NatsEngine::Found NatsEngine::seek(const std::string& bucket, std::chrono::milliseconds limit) {
    if (there_.contains(bucket))
        return Found::led;
    const auto connection = granted(subject::info(bucket), "look for bucket " + bucket);
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = limit.count();
    jsStreamInfo* got = nullptr;
    jsErrCode code{};
    const auto status =
        js_GetStreamInfo(&got, connection->jetstream(), subject::stream(bucket).c_str(), &options, &code);
    const Info info(got);
    if (status == NATS_OK) {
        there_.insert(bucket);
        return Found::led;
    }
    if (code == JSStreamNotFoundErr || status == NATS_NOT_FOUND)
        return Found::none;
    if (status != NATS_TIMEOUT)
        connection->fail("cannot look for bucket " + bucket, status);
    connection->note_unanswered();
    return Found::leaderless;
}

bool NatsEngine::is_there(const std::string& bucket) {
    const auto found = seek(bucket, std::chrono::milliseconds(NatsConnection::answer_limit_ms));
    if (found == Found::leaderless)
        throw EngineError("cannot look for bucket " + bucket + " in " + name() + ": no answer");
    return found == Found::led;
}

bool NatsEngine::make_bucket(const std::string& bucket, std::chrono::milliseconds limit) {
    const auto connection = granted(subject::make(bucket), "make bucket " + bucket);
    auto* const jetstream = connection->jetstream();
    const auto name = subject::stream(bucket), values = subject::value(bucket, ">"),
               told = subject::changed(bucket, ">");
    const char* subjects[] = {values.c_str()};
    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = values.c_str();
    republish.Destination = told.c_str();
    republish.HeadersOnly = true;
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = name.c_str();
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_MemoryStorage;
    config.Replicas = settings_.replicas;
    config.MaxMsgsPerSubject = 1;
    config.MaxMsgSize = static_cast<std::int32_t>(max_value) + room_for_headers;
    config.MaxAge = bucket == bucket::fleet ? 0 : settings_.keep_s * 1'000'000'000;
    config.Discard = js_DiscardNew;
    config.AllowRollup = true;
    config.DenyDelete = true;
    config.AllowDirect = true;
    config.RePublish = &republish;
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = limit.count();
    jsErrCode code{};
    const auto status = js_AddStream(nullptr, jetstream, &config, &options, &code);
    // Somebody else has made it, with other settings maybe.
    if (status == NATS_OK || code == JSStreamNameExistErr)
        return true;
    // Where several made it at one instant, the servers answer when it is led.
    if (status != NATS_TIMEOUT)
        connection->fail("cannot make bucket " + bucket, status);
    connection->note_unanswered();
    return false;
}

void NatsEngine::prepare(const std::vector<std::string>& buckets) {
    const auto connection = find(subject::names());
    if (!connection)
        return;
    jsStreamNamesList* got = nullptr;
    jsErrCode code{};
    const auto status = js_StreamNames(&got, connection->jetstream(), nullptr, &code);
    const Names names(got);
    if (status != NATS_OK && status != NATS_NOT_FOUND)
        connection->fail("cannot look for buckets", status);
    std::set<std::string> there;
    for (int i = 0; names && i < names->Count; ++i)
        there.insert(names->List[i]);
    for (const auto& bucket : buckets)
        if (!there.contains(subject::stream(bucket)) &&
            !make_bucket(bucket, std::chrono::milliseconds(NatsConnection::answer_limit_ms)))
            throw EngineError("cannot make bucket " + bucket + " in " + name() + ": no answer");
}

}  // namespace

std::unique_ptr<Engine> make_nats_engine(NatsSettings settings) {
    return std::make_unique<NatsEngine>(std::move(settings));
}

}  // namespace stek::fleet
