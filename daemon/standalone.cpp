#include "daemon/standalone.hpp"

#include "daemon/headline.hpp"
#include "daemon/premises.hpp"

#include <utility>

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::json;

std::string text_of(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

class Standalone final : public Work {
  public:
    Standalone(Config config, Progress progress) : rotation_(std::move(config), std::move(progress)) {}

    Next run() override { return rotation_.run(); }
    json obey(const Order& order, const Attempt& attempt) override;
    json obey(const PartyOrder&, const Attempt&) override {
        return {{"ok", false}, {"error", "this stekd is no party of a fleet"}};
    }
    Next reload(const std::function<void(const Config&)>& accept) override {
        auto config = load_config(rotation_.config().file);
        require_premises(config);
        accept(config);
        return rotation_.reconfigure(std::move(config));
    }
    void listen(sd_event*, std::function<void()>) override {}  // all that comes, comes by the clock

    [[nodiscard]] const Config& config() const noexcept override { return rotation_.config(); }
    [[nodiscard]] std::string headline() const override {
        return daemon::headline(rotation_.ring(), read_clocks().wall, config().stale_epochs) +
               (rotation_.state().weaknesses.empty() ? "" : "; the ticket token is weak");
    }
    [[nodiscard]] std::string what_is_ready() const override { return "the key ring is in place"; }
    [[nodiscard]] std::vector<WatchedFile> must_stay() const override { return rotation_.must_stay(); }
    void report(Health& health) const override { rotation_.report(health); }
    void add_to_status(json&) const override {}

  private:
    Rotation rotation_;
};

json Standalone::obey(const Order& order, const Attempt& attempt) {
    const auto trouble = attempt([&] { return rotation_.obey(order); });
    if (!trouble.empty() && rotation_.revoking())
        return {{"ok", false},
                {"error", std::string("begun, and will be ended") +
                              (rotation_.revokes_durably() ? "" : " unless stekd is killed before") + ": " +
                              trouble}};
    // With keys revoked, what is missing is the next ones.
    if (!trouble.empty() && rotation_.revoked().empty())
        return {{"ok", false}, {"error", trouble}};
    json reply{{"ok", true}, {"generation", rotation_.ring().generation}, {"revoked", json::array()}};
    if (!trouble.empty())
        reply["warning"] = trouble;
    for (const auto& key : rotation_.revoked())
        reply["revoked"].push_back(text_of(key));
    if (const auto* sealing = sealing_record(rotation_.ring(), read_clocks().wall, 0))
        reply["key"] = text_of({sealing->epoch, sealing->revision});
    return reply;
}

}  // namespace

MakeWork standalone(Config config) {
    return [config = std::move(config)](Progress progress) {
        return std::make_unique<Standalone>(config, std::move(progress));
    };
}

}  // namespace stek::daemon
