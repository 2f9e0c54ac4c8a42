#include "daemon/fleet/nats_connection.hpp"

#include "daemon/log.hpp"
#include "provider/no_signals.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <random>
#include <string_view>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

namespace stek::fleet {
namespace {

using std::chrono::steady_clock;

constexpr std::int64_t connect_limit_ms = 2000, reconnect_wait_ms = 500, ping_interval_ms = 5000;
constexpr int pings_out = 2;
/// Seen with 3.4 after a partition: it waits for a handshake without end.
constexpr auto patience_with_cnats = std::chrono::seconds(10);
/// Questions at a time: their answers are no load to speak of, and at 50 ms to the servers 5,000 come in a
/// second.
constexpr std::size_t lot = 256;
/// Nothing is stored that waited for a connection: whoever stored it was told that it is not.
constexpr int reconnect_buffer = 1;

/// Which files they are, and of when.
using Stamp = std::array<std::int64_t, 3>;
std::vector<Stamp> stamps_of(const NatsTls& tls) {
    std::vector<Stamp> stamps;
    for (const auto* path : {&tls.authority, &tls.certificate, &tls.key}) {
        struct stat status {};
        const bool there = ::stat(path->c_str(), &status) == 0;
        stamps.push_back(there ? Stamp{static_cast<std::int64_t>(status.st_ino), status.st_mtim.tv_sec,
                                       status.st_mtim.tv_nsec}
                               : Stamp{});
    }
    return stamps;
}

/// " (its certificate ... is not valid now)", or nothing.
std::string certificate_trouble(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
    if (!file)
        return " (" + path + " cannot be read)";
    const std::unique_ptr<X509, void (*)(X509*)> certificate(
        PEM_read_X509(file.get(), nullptr, nullptr, nullptr), X509_free);
    ERR_clear_error();
    if (!certificate)
        return " (" + path + " is no certificate)";
    if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0)
        return " (" + path + " has expired)";
    if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0)
        return " (" + path + " is not valid yet)";
    return "";
}

std::string with_commas(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

using OptionsPtr = std::unique_ptr<natsOptions, void (*)(natsOptions*)>;

/// What cnats's threads and this one have in common. It lives until cnats has said that all is closed.
struct Common {
    std::mutex mutex;
    std::vector<std::shared_ptr<Bell>> bells;  ///< those that ring when the connection is there again
    std::string last_error;
    std::optional<steady_clock::time_point> trouble;

    void note_lost_changes() {
        const std::lock_guard lock(mutex);
        trouble = steady_clock::now();
        for (const auto& bell : bells)
            bell->ring();
    }
};
using CommonPtr = std::shared_ptr<Common>;

Common& common_in(void* closure) noexcept {
    return **static_cast<CommonPtr*>(closure);
}

void on_connected(natsConnection*, void* closure) {
    common_in(closure).note_lost_changes();
}

void on_error(natsConnection* connection, natsSubscription*, natsStatus status, void* closure) {
    const char* text = nullptr;
    natsConnection_GetLastError(connection, &text);
    const std::string error = text != nullptr && *text != '\0' ? text : natsStatus_GetText(status);
    auto& common = common_in(closure);
    if (status == NATS_SLOW_CONSUMER)
        common.note_lost_changes();
    const std::lock_guard lock(common.mutex);
    if (common.last_error != error)
        daemon::log(LOG_WARNING, "NATS: " + error);
    common.last_error = error;
}

// The last that cnats calls.
void on_closed(natsConnection*, void* closure) {
    delete static_cast<CommonPtr*>(closure);
}

void on_change(natsConnection*, natsSubscription*, natsMsg* message, void* bell) {
    const NatsMessage told(message);
    auto& rung = **static_cast<std::shared_ptr<Bell>*>(bell);
    try {
        if (auto change = change_in(message))
            return rung.ring_for(std::move(*change));
    } catch (const std::exception&) {  // no memory
    }
    rung.ring();
}

void on_complete(void* bell) {
    delete static_cast<std::shared_ptr<Bell>*>(bell);
}

/// What cnats says of it in this thread, unless that is of an earlier call.
std::string reason_of(natsStatus status) {
    natsStatus last = NATS_OK;
    const char* detail = nats_GetLastError(&last);
    return last == status && detail != nullptr && *detail != '\0' ? detail : natsStatus_GetText(status);
}

void must(natsStatus status, const char* what) {
    if (status != NATS_OK)
        throw EngineError(std::string("NATS: ") + what + ": " + reason_of(status));
}

/// At random, so that many parties are spread over the servers; that one last.
std::vector<std::string> urls_of(const std::vector<std::string>& servers, const std::string& last) {
    std::vector<std::string> urls(servers.size());
    std::ranges::transform(servers, urls.begin(), [](const auto& server) { return "tls://" + server; });
    std::ranges::shuffle(urls, std::minstd_rand(std::random_device{}()));
    std::stable_partition(urls.begin(), urls.end(), [&](const auto& url) { return url != last; });
    return urls;
}

OptionsPtr options_for(const std::vector<std::string>& urls, const NatsTls& tls, const NatsAccess& access) {
    natsOptions* made = nullptr;
    must(natsOptions_Create(&made), "options");
    OptionsPtr options(made, natsOptions_Destroy);
    std::vector<const char*> texts(urls.size());
    std::ranges::transform(urls, texts.begin(), [](const auto& url) { return url.c_str(); });
    must(natsOptions_SetServers(made, texts.data(), static_cast<int>(texts.size())), "servers");
    must(natsOptions_SetNoRandomize(made, true), "servers");
    must(natsOptions_SetSecure(made, true), "TLS");
    must(natsOptions_LoadCATrustedCertificates(made, tls.authority.c_str()), "the authority");
    must(natsOptions_LoadCertificatesChain(made, tls.certificate.c_str(), tls.key.c_str()),
         "the certificate");
    // Names that the servers tell of each other are in nobody's configuration.
    must(natsOptions_SetIgnoreDiscoveredServers(made, true), "options");
    must(natsOptions_SetName(made, access.user.c_str()), "name");
    must(natsOptions_SetCustomInboxPrefix(made, access.inbox.c_str()), "inbox");
    must(natsOptions_SetTimeout(made, connect_limit_ms), "options");
    must(natsOptions_SetMaxReconnect(made, -1), "options");
    must(natsOptions_SetReconnectWait(made, reconnect_wait_ms), "options");
    must(natsOptions_SetReconnectBufSize(made, reconnect_buffer), "options");
    must(natsOptions_SetFailRequestsOnDisconnect(made, true), "options");
    must(natsOptions_SetPingInterval(made, ping_interval_ms), "options");
    must(natsOptions_SetMaxPingsOut(made, pings_out), "options");
    must(natsOptions_UseGlobalMessageDelivery(made, true), "options");
    return options;
}

}  // namespace

struct NatsConnection::Link {
    CommonPtr common = std::make_shared<Common>();
    std::vector<Stamp> stamps;
    natsConnection* connection = nullptr;
    jsCtx* jetstream = nullptr;
    std::vector<std::pair<std::shared_ptr<Bell>, natsSubscription*>> subscriptions;
    natsSubscription* answers = nullptr;  ///< to all that is asked, many at a time
    std::vector<natsSubscription*> over;

    Link() = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    // cnats 3.4 reads on in a subscription that was destroyed meanwhile: its reader has to be gone first.
    ~Link() {
        natsConnection_Close(connection);
        for (const auto& [bell, subscription] : subscriptions)
            natsSubscription_Destroy(subscription);
        for (auto* subscription : over)
            natsSubscription_Destroy(subscription);
        natsSubscription_Destroy(answers);
        jsCtx_Destroy(jetstream);
        natsConnection_Destroy(connection);
        const std::lock_guard lock(common->mutex);
        for (const auto& bell : common->bells)
            bell->retire();
    }
};

NatsConnection::NatsConnection(std::vector<std::string> servers, NatsTls tls, NatsAccess access)
    : servers_(std::move(servers)),
      tls_(std::move(tls)),
      access_(std::move(access)),
      name_("NATS at " + with_commas(servers_)) {}

NatsConnection::~NatsConnection() = default;

void NatsConnection::open() {
    auto link = std::make_unique<Link>();
    link->stamps = stamps_of(tls_);
    const NoSignals none;  // cnats starts threads
    const auto options = options_for(urls_of(servers_, mute_), tls_, access_);
    // Owned by cnats until on_closed(), which comes also for a connection that was never made.
    auto closure = std::make_unique<CommonPtr>(link->common);
    must(natsOptions_SetRetryOnFailedConnect(options.get(), true, on_connected, closure.get()), "options");
    must(natsOptions_SetReconnectedCB(options.get(), on_connected, closure.get()), "options");
    must(natsOptions_SetErrorHandler(options.get(), on_error, closure.get()), "options");
    must(natsOptions_SetClosedCB(options.get(), on_closed, closure.get()), "options");
    const auto status = natsConnection_Connect(&link->connection, options.get());
    if (status != NATS_OK && status != NATS_NOT_YET_CONNECTED)
        must(status, "connect");
    (void)closure.release();
    jsOptions limits;
    must(jsOptions_Init(&limits), "options");
    limits.Wait = answer_limit_ms;
    must(natsConnection_JetStream(&link->jetstream, link->connection, &limits), "JetStream");
    link_ = std::move(link);
    silent_at_.reset();
    mute_.clear();
}

bool NatsConnection::is_to_be_made_anew() {
    if (link_ == nullptr || !mute_.empty())
        return true;
    if (natsConnection_Status(link_->connection) == NATS_CONN_STATUS_CONNECTED) {
        away_since_.reset();
        return false;
    }
    // What is connected stays so with an old certificate; what is not tries with a new one.
    if (stamps_of(tls_) != link_->stamps)
        return true;
    if (!away_since_)
        away_since_ = steady_clock::now();
    return steady_clock::now() - *away_since_ > patience_with_cnats;
}

jsCtx* NatsConnection::jetstream() {
    if (is_to_be_made_anew()) {
        if (link_)
            note_trouble();
        link_.reset();
        away_since_.reset();
        open();
    }
    if (natsConnection_Status(link_->connection) == NATS_CONN_STATUS_CONNECTED)
        return link_->jetstream;
    note_trouble();
    throw EngineError("no connection to " + name_ + why_not());
}

namespace {

/// Which question an answer is to, by the subject that it came on. Nothing for an answer that is late: to
/// what was asked before.
std::optional<std::size_t> number_of(natsMsg* answer, const std::string& inbox) noexcept {
    std::string_view subject = natsMsg_GetSubject(answer);
    if (!subject.starts_with(inbox))
        return {};
    subject.remove_prefix(inbox.size());
    std::size_t number = 0;
    const auto end = subject.data() + subject.size();
    const auto read = std::from_chars(subject.data(), end, number);
    return read.ec == std::errc{} && read.ptr == end ? std::optional(number) : std::nullopt;
}

/// False when they do not come any more.
bool take_answers(natsSubscription* from, const std::string& inbox, std::size_t count,
                  std::vector<NatsMessage>& answers) {
    const auto until = steady_clock::now() + std::chrono::milliseconds(NatsConnection::answer_limit_ms);
    while (count > 0) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - steady_clock::now());
        natsMsg* got = nullptr;
        if (left.count() <= 0 || natsSubscription_NextMsg(&got, from, left.count()) != NATS_OK)
            return false;
        NatsMessage answer(got);
        if (const auto number = number_of(got, inbox); number && *number < answers.size()) {
            answers[*number] = std::move(answer);
            --count;
        }
    }
    return true;
}

}  // namespace

std::vector<NatsMessage> NatsConnection::ask(const std::vector<Question>& questions) {
    (void)jetstream();
    const auto all = access_.inbox + ".all.";
    if (link_->answers == nullptr)
        must(natsConnection_SubscribeSync(&link_->answers, link_->connection, (all + "*.*").c_str()),
             "subscribe");
    const auto inbox = all + std::to_string(++asked_) + ".";
    std::vector<NatsMessage> answers(questions.size());
    for (std::size_t begin = 0; begin < questions.size(); begin += lot) {
        const auto end = std::min(begin + lot, questions.size());
        for (std::size_t i = begin; i < end; ++i)
            must(natsConnection_PublishRequest(
                     link_->connection, questions[i].subject.c_str(), (inbox + std::to_string(i)).c_str(),
                     questions[i].payload.data(), static_cast<int>(questions[i].payload.size())),
                 "ask");
        if (!take_answers(link_->answers, inbox, end - begin, answers)) {
            note_trouble();
            break;
        }
    }
    return answers;
}

std::string NatsConnection::why_not() const {
    const char* error = nullptr;
    natsConnection_GetLastError(link_->connection, &error);
    return (error != nullptr && *error != '\0' ? std::string(": ") + error : std::string()) +
           certificate_trouble(tls_.certificate);
}

std::shared_ptr<Bell> NatsConnection::listen(const std::vector<std::string>& subjects) {
    (void)jetstream();
    auto bell = std::make_shared<Bell>();
    link_->over.reserve(link_->over.size() + link_->subscriptions.size() + subjects.size());  // for drop()
    for (const auto& subject : subjects) {
        auto closure = std::make_unique<std::shared_ptr<Bell>>(bell);
        natsSubscription* subscription = nullptr;
        must(natsConnection_Subscribe(&subscription, link_->connection, subject.c_str(), on_change,
                                      closure.get()),
             "subscribe");
        link_->subscriptions.emplace_back(bell, subscription);
        must(natsSubscription_SetOnCompleteCB(subscription, on_complete, closure.release()), "subscribe");
    }
    // Whoever listens has to be sure that he hears what comes from now on.
    const auto status = natsConnection_FlushTimeout(link_->connection, answer_limit_ms);
    {
        const std::lock_guard lock(link_->common->mutex);
        link_->common->bells.push_back(bell);
    }
    if (status != NATS_OK) {
        drop(bell);
        fail("cannot subscribe", status);
    }
    return bell;
}

void NatsConnection::drop(const std::shared_ptr<Bell>& bell) noexcept {
    if (!link_)
        return;
    std::erase_if(link_->subscriptions, [&](const auto& held) {
        if (held.first == bell) {
            natsSubscription_Unsubscribe(held.second);
            link_->over.push_back(held.second);
        }
        return held.first == bell;
    });
    const std::lock_guard lock(link_->common->mutex);
    std::erase(link_->common->bells, bell);
}

// A server answers pings, and no question comes back: seen with 2.9.10 after a partition, for minutes, at the
// one that had been cut off. Another is asked then.
void NatsConnection::note_silence() {
    natsStatistics* made = nullptr;
    if (natsStatistics_Create(&made) != NATS_OK)
        return;
    const std::unique_ptr<natsStatistics, void (*)(natsStatistics*)> statistics(made, natsStatistics_Destroy);
    std::uint64_t messages = 0;
    std::array<char, 512> url{};
    if (natsConnection_GetStats(link_->connection, made) != NATS_OK ||
        natsStatistics_GetCounts(made, &messages, nullptr, nullptr, nullptr, nullptr) != NATS_OK ||
        natsConnection_GetConnectedUrl(link_->connection, url.data(), url.size()) != NATS_OK)
        return;
    if (silent_at_ == messages && url.front() != '\0') {
        mute_ = url.data();
        daemon::log(LOG_NOTICE, "no answer comes from " + mute_ + ", which is connected: connecting anew");
    }
    silent_at_ = messages;
}

std::optional<steady_clock::time_point> NatsConnection::last_trouble() const {
    if (!link_)
        return trouble_;
    const std::lock_guard lock(link_->common->mutex);
    return std::max(trouble_, link_->common->trouble);
}

void NatsConnection::fail(const std::string& what, natsStatus status) {
    const auto why = what + " in " + name_ + ": " + reason_of(status);
    if (status == NATS_TIMEOUT)
        note_unanswered();
    else
        note_trouble();
    throw EngineError(why);
}

void NatsConnection::note_unanswered() {
    note_trouble();
    if (link_)
        note_silence();
}

}  // namespace stek::fleet
