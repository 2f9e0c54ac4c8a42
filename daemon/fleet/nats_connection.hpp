// One party's connection to the NATS servers: made when it is first needed, kept by cnats, made anew when the
// party's certificate was renewed, or when no answer comes over it any more.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/nats_access.hpp"
#include "daemon/fleet/nats_bell.hpp"
#include "daemon/fleet/nats_message.hpp"

#include <chrono>
#include <memory>
#include <nats/nats.h>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// Files in PEM, all of them: what the servers' certificates are signed by, and the party's own. cnats takes
/// no key but a file's; systemd hands it over (LoadCredential=).
struct NatsTls {
    std::string authority, certificate, key;
};

/// One thread at a time; cnats has threads of its own, which take no signals.
class NatsConnection {
  public:
    /// Does not connect. `servers`: "HOST:PORT", in whose certificates is HOST.
    NatsConnection(std::vector<std::string> servers, NatsTls tls, NatsAccess access);
    NatsConnection(const NatsConnection&) = delete;
    NatsConnection& operator=(const NatsConnection&) = delete;
    ~NatsConnection();

    /// Throws EngineError while there is no connection: at once, but for the first call of all, and one in
    /// some 10 s without a connection, which try each server for up to 2 s.
    jsCtx* jetstream();
    [[nodiscard]] const NatsAccess& access() const noexcept { return access_; }

    struct Question {
        std::string subject;
        Bytes payload;
    };
    /// Asks many at a time, and waits for the answers in turn, answer_limit_ms for each lot: null where none
    /// came. Throws EngineError.
    std::vector<NatsMessage> ask(const std::vector<Question>& questions);

    /// Rings when a stream tells of a change on one of the subjects, when the connection was lost and is
    /// there again, and when this object comes to its end. Throws EngineError.
    std::shared_ptr<Bell> listen(const std::vector<std::string>& subjects);
    void drop(const std::shared_ptr<Bell>& bell) noexcept;

    /// "cannot store it in NATS at a:4222, b:4222: Timeout"
    [[noreturn]] void fail(const std::string& what, natsStatus status);
    /// To be told of a Timeout that is not a failure: where no server answers anything, another is asked.
    void note_unanswered();
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// When a call last failed, or the connection was there again after a loss, or cnats dropped messages:
    /// what was told meanwhile may not have come.
    [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> last_trouble() const;

    static constexpr std::int64_t answer_limit_ms = 5000;

  private:
    struct Link;
    void open();
    [[nodiscard]] bool is_to_be_made_anew();
    [[nodiscard]] std::string why_not() const;
    void note_silence();
    void note_trouble() noexcept { trouble_ = std::chrono::steady_clock::now(); }

    std::vector<std::string> servers_;
    NatsTls tls_;
    NatsAccess access_;
    std::string name_;
    std::unique_ptr<Link> link_;
    std::uint64_t asked_ = 0;
    std::optional<std::chrono::steady_clock::time_point> trouble_;
    std::optional<std::chrono::steady_clock::time_point> away_since_;
    std::optional<std::uint64_t> silent_at_;  ///< messages that had come when an answer last did not
    std::string mute_;                        ///< URL of a server to be left for that; empty: none
};

}  // namespace stek::fleet
