// What a peer may ask over the control socket, read strictly. The JSON is described in control_client.hpp.
#pragma once

#include "daemon/plan.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace stek::daemon {

struct AskStatus {};
/// Of a fleet's location: who its machines are. What the texts hold is looked at by who obeys.
struct EnrolMachine {
    std::string request;  ///< as `stekctl fleet enroll machine` made it
};
struct RetireMachine {
    std::string name;
};
using PartyOrder = std::variant<EnrolMachine, RetireMachine>;
using Request = std::variant<AskStatus, Rotate, Revoke, EnrolMachine, RetireMachine>;

/// The request cannot be understood; what() is fit for an answer and repeats nothing of it.
class RequestError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Throws RequestError: not JSON (RFC 8259, UTF-8), a key that is unknown, missing or there twice, a wrong
/// type, a number out of range.
Request parse_request(std::string_view text);

/// What it orders: "rotate".
const char* in_words(const Request& request);

}  // namespace stek::daemon
