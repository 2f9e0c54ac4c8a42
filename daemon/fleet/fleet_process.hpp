// A fleet party's stekd as Service sees it. Its parts: fleet_work.cpp (tokens and runs), fleet_orders.cpp
// (what stekctl asks for), fleet_reports.cpp (what it says of itself).
#pragma once

#include "daemon/access.hpp"
#include "daemon/fleet/bundle_store.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/engine_watch.hpp"
#include "daemon/fleet/fleet_tokens.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/parties.hpp"
#include "daemon/state.hpp"
#include "daemon/token_claims.hpp"
#include "daemon/work.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace stek::fleet {

/// All in the thread of the event loop.
class FleetWork final : public daemon::Work {
  public:
    FleetWork(FleetConfig config, daemon::Progress progress);

    Next run() override;
    nlohmann::json obey(const daemon::Order& order, const Attempt& attempt) override;
    nlohmann::json obey(const daemon::PartyOrder& order, const Attempt& attempt) override;
    Next reload(const std::function<void(const daemon::Config&)>& accept) override;
    void listen(sd_event* loop, std::function<void()> due) override;

    [[nodiscard]] const daemon::Config& config() const noexcept override { return common_; }
    [[nodiscard]] std::string headline() const override;
    [[nodiscard]] std::string what_is_ready() const override;
    [[nodiscard]] bool is_ready_all_the_same() const noexcept override;
    [[nodiscard]] std::vector<daemon::WatchedFile> must_stay() const override;
    void report(daemon::Health& health) const override;
    void add_to_status(nlohmann::json& reply) const override;

  private:
    void open();
    [[nodiscard]] std::unique_ptr<FleetTokens> open_tokens();
    void look_at_ticket_token();
    void close() noexcept;
    void make_engine();
    void watch_engine();
    void note_ring();
    [[nodiscard]] Next next(const daemon::Now& now) const;
    /// Tokens that are in trouble are opened anew by the next run.
    Next work(const std::function<void()>& piece);
    void carry_out(const std::function<void()>& piece);
    [[nodiscard]] nlohmann::json obey_rotate(bool revoke_old, const Attempt& attempt);
    [[nodiscard]] nlohmann::json obey_revoke(const daemon::Revoke& order, const Attempt& attempt);
    /// Of the newest list; nothing if nothing is to be changed. Throws EnrolmentRefused, FrameError,
    /// EngineError.
    [[nodiscard]] std::optional<PartyList> changed_machines(const daemon::PartyOrder& order);

    FleetConfig config_;
    daemon::Config common_;
    daemon::Progress progress_;
    daemon::Readers readers_;
    daemon::StateDirectory directory_;
    daemon::State state_;  ///< of the ticket token: serial, and what it enforces
    daemon::TokenClaims claims_;
    KnownLists lists_;
    BundleStore bundles_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<EngineWatch> watch_;
    std::unique_ptr<FleetTokens> tokens_;
    std::unique_ptr<Parties> parties_;
    std::uint64_t generation_ = 0, published_ = 0;  ///< of the ring that was seen last; rings since the start
    std::int64_t last_published_ = 0;
    bool engine_is_away_ = false;  ///< the last run has failed by that alone
};

}  // namespace stek::fleet
