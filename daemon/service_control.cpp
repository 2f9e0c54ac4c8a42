// What the service does when it is asked over the control socket.
#include "daemon/health.hpp"
#include "daemon/log.hpp"
#include "daemon/service.hpp"

#include <nlohmann/json.hpp>

namespace stek::daemon {

using nlohmann::json;

namespace {

/// Up for this object's life.
class Flag {
  public:
    explicit Flag(bool& flag) : flag_(flag) { flag_ = true; }
    Flag(const Flag&) = delete;
    Flag& operator=(const Flag&) = delete;
    ~Flag() { flag_ = false; }

  private:
    bool& flag_;
};

}  // namespace

Health Service::health() const {
    auto health = health_;
    work_->report(health);
    return health;
}

// Null: the one there is goes on. Also a socket that somebody removed comes back by this, but not while the
// one there is answers: it would be freed within its own call.
std::unique_ptr<Control> Service::listen_at(const std::string& path) {
    if (answering_ || path.empty() || (control_ && control_->path() == path && control_->in_place()))
        return nullptr;
    return std::make_unique<Control>(loop_, path, [this](const Request& request) { return answer(request); });
}

void Service::hear_by(std::unique_ptr<Control> control) {
    if (control || work_->config().control.empty())
        control_ = std::move(control);
}

// It may be what ends the trouble: a machine in the same process as its vault waits to be approved there.
// What is wrong with the socket itself is told once all else is well.
void Service::hear_in_trouble() {
    try {
        hear_by(listen_at(work_->config().control));
    } catch (const std::runtime_error& error) {
        log(LOG_DEBUG, error.what());
    }
}

json Service::answer(const Request& request) {
    if (std::holds_alternative<AskStatus>(request)) {
        json reply{{"ok", true}, {"health", health_to_json(health())}};
        work_->add_to_status(reply);
        return reply;
    }
    const Flag answering(answering_);
    const auto attempted = [this](const std::function<Work::Next()>& piece) { return attempt(piece); };
    if (const auto* rotate = std::get_if<Rotate>(&request))
        return work_->obey(Order(*rotate), attempted);
    if (const auto* revoke = std::get_if<Revoke>(&request))
        return work_->obey(Order(*revoke), attempted);
    if (const auto* enrol = std::get_if<EnrolMachine>(&request))
        return work_->obey(PartyOrder(*enrol), attempted);
    return work_->obey(PartyOrder(std::get<RetireMachine>(request)), attempted);
}

}  // namespace stek::daemon
