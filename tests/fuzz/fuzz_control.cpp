// Feeds the control socket's JSON, both ways: a request to parse_request(), a reply to ask_stekd() over a
// real socket, health to health_from_json(). Each may throw what its header says and nothing else. A request
// that is understood means the same when it is written anew; an error repeats nothing of the request; health
// comes back from JSON as it went in.
#include "daemon/control_client.hpp"
#include "daemon/health.hpp"
#include "daemon/request.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>

namespace {

using namespace stek::daemon;
using nlohmann::json;
using stek::fuzz::require;

json written(const Request& request) {
    if (std::holds_alternative<AskStatus>(request))
        return {{"do", "status"}};
    if (const auto* rotate = std::get_if<Rotate>(&request))
        return {{"do", "rotate"}, {"revoke_old", rotate->revoke_old}};
    if (const auto* enrol = std::get_if<EnrolMachine>(&request))
        return {{"do", "enroll"}, {"request", enrol->request}};
    if (const auto* retire = std::get_if<RetireMachine>(&request))
        return {{"do", "retire"}, {"name", retire->name}};
    const auto& revoke = std::get<Revoke>(request);
    if (revoke.all)
        return {{"do", "revoke"}, {"keys", "all"}};
    json keys = json::array();
    for (const auto& which : revoke.keys) {
        keys.push_back({{"epoch", which.epoch}});
        if (which.revision)
            keys.back()["revision"] = *which.revision;
    }
    return {{"do", "revoke"}, {"keys", keys}};
}

void feed_request(std::string_view text) {
    try {
        const json once = written(parse_request(text));
        require(written(parse_request(once.dump())) == once, "a request means the same when written anew");
    } catch (const RequestError& error) {
        const std::string_view what = error.what();
        require(what.size() < 150 && std::ranges::all_of(what, [](char c) { return c >= ' ' && c <= '~'; }),
                "an error is one short line");
    }
}

void feed_health(const json& object) {
    Health health;
    try {
        health = health_from_json(object);
    } catch (const json::exception&) {
        return;
    }
    const json once = health_to_json(health);
    require(health_to_json(health_from_json(once)) == once, "health comes back as it went in");
}

/// Answers one connection with the text.
class Peer {
  public:
    Peer()
        : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)),
          path_(directory_.path() + "/control") {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof address.sun_path - 1);
        require(socket_ &&
                    ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                    ::listen(socket_.get(), 1) == 0,
                "a control socket is there");
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    void answer(std::string_view text) const {
        const stek::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!text.empty())
            static_cast<void>(::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL));
    }

  private:
    stek::fuzz::Directory directory_;
    stek::Fd socket_;
    std::string path_;
};

void feed_reply(std::string_view text) {
    static const Peer peer;
    // No longer than the client's pause before it asks a busy stekd again: it asks once.
    constexpr std::chrono::milliseconds patience{40};
    std::jthread answering([text] { peer.answer(text); });
    try {
        const json reply = ask_stekd(peer.path(), {{"do", "status"}}, patience);
        require(reply.at("ok").get<bool>(), "a reply that is handed on is a good one");
        if (reply.contains("health"))
            feed_health(reply.at("health"));
    } catch (const ControlError& error) {
        require(std::string_view(error.what()).starts_with("stekd at " + peer.path()), "an error says who");
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = stek::fuzz::text_of(data, size);
    feed_request(text);
    feed_health(json::parse(text, nullptr, false));
    feed_reply(text);
    return 0;
}
