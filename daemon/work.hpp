// What a stekd does over and over: one location's rotation, or a fleet party's roles. Service gives it its
// time.
#pragma once

#include "daemon/config.hpp"
#include "daemon/health.hpp"
#include "daemon/loss_watch.hpp"
#include "daemon/plan.hpp"
#include "daemon/progress.hpp"
#include "daemon/request.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <systemd/sd-event.h>

namespace stek::daemon {

/// All in the thread of the event loop.
class Work {
  public:
    /// When to look again.
    struct Next {
        std::int64_t edge = 0;                     ///< wall time
        std::optional<std::uint64_t> destruction;  ///< boot time
    };
    /// Does a piece of work as Service does run(): timers are set and account is kept. Returns what went
    /// wrong; empty: nothing.
    using Attempt = std::function<std::string(const std::function<Next()>& piece)>;

    virtual ~Work() = default;

    /// Does all that is due. What it throws current_failure() sorts: what passes is tried again.
    virtual Next run() = 0;
    /// Does what somebody asked for over the control socket. Returns the reply, as control_client.hpp has it.
    virtual nlohmann::json obey(const Order& order, const Attempt& attempt) = 0;
    virtual nlohmann::json obey(const PartyOrder& order, const Attempt& attempt) = 0;
    /// Reads the configuration file anew and goes on as run() does. `accept` is called before anything is
    /// changed, and may throw. If this throws, all is as it was.
    virtual Next reload(const std::function<void(const Config&)>& accept) = 0;
    /// From now on `due` is called when there is something to do before the time that run() said. Both
    /// outlive this object, or the next call.
    virtual void listen(sd_event* loop, std::function<void()> due) = 0;

    /// Those settings that a service of any kind has.
    [[nodiscard]] virtual const Config& config() const noexcept = 0;
    /// What STATUS= says while all is well.
    [[nodiscard]] virtual std::string headline() const = 0;
    /// What is so after the first run() that went well: "the key ring is in place".
    [[nodiscard]] virtual std::string what_is_ready() const = 0;
    /// The same is so though run() has failed: what it failed by is not this host's to mend, and no reason to
    /// call its start a failure.
    [[nodiscard]] virtual bool is_ready_all_the_same() const noexcept { return false; }
    /// The files without which it cannot go on, to be told of their loss at once.
    [[nodiscard]] virtual std::vector<WatchedFile> must_stay() const = 0;
    /// What this object knows of it; the rest is left alone.
    virtual void report(Health& health) const = 0;
    /// More than Health has, for the reply to {"do": "status"}.
    virtual void add_to_status(nlohmann::json& reply) const = 0;
};

/// Throws what ends stekd before it begins: ConfigError, AnotherStekd, std::system_error.
using MakeWork = std::function<std::unique_ptr<Work>(Progress progress)>;

}  // namespace stek::daemon
