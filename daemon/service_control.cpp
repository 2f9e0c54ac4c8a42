// What the service does when it is asked over the control socket.
#include "daemon/health.hpp"
#include "daemon/service.hpp"

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::json;

std::string text_of(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

}  // namespace

Health Service::health() const {
    auto health = health_;
    rotation_.report(health);
    return health;
}

// Null: the one there is goes on. Also a socket that somebody removed comes back by this.
std::unique_ptr<Control> Service::listen_at(const std::string& path) {
    if (path.empty() || (control_ && control_->path() == path && control_->in_place()))
        return nullptr;
    return std::make_unique<Control>(loop_, path, [this](const Request& request) { return answer(request); });
}

void Service::hear_by(std::unique_ptr<Control> control) {
    if (control || rotation_.config().control.empty())
        control_ = std::move(control);
}

json Service::answer(const Request& request) {
    if (std::holds_alternative<AskStatus>(request))
        return {{"ok", true}, {"health", health_to_json(health())}};
    if (const auto* rotate = std::get_if<Rotate>(&request))
        return answer_order(*rotate);
    return answer_order(std::get<Revoke>(request));
}

json Service::answer_order(const Order& order) {
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

}  // namespace stek::daemon
