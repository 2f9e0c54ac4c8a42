// Asks a running stekd, over its control socket.
//
// The socket is SOCK_SEQPACKET at paths.control, 0600, for root and stekd's own user (SO_PEERCRED). One
// connection carries one request and one reply, each one packet of JSON (UTF-8):
//
//   {"do": "status"}                                   -> {"ok": true, "health": {...}}, fields as in Health
//   {"do": "rotate", "revoke_old": false}              -> {"ok": true, "generation": 7, "key": "489123.1"}
//   {"do": "revoke", "keys": "all"}                    -> {"ok": true, "generation": 8, "revoked":
//   ["489122.0"]}
//   {"do": "revoke", "keys": [{"epoch": 5}, {"epoch": 6, "revision": 1}]}
//   {"do": "enroll", "request": "-----BEGIN ..."}      -> {"ok": true, "serial": 5, "number": 3}
//   {"do": "retire", "name": "web1"}                   -> {"ok": true, "serial": 6}
//
// A request that cannot be carried out is answered by {"ok": false, "error": "..."}. The reply to rotate and
// revoke is sent when the new ring is in place; "warning" in it tells of keys that were revoked, but whose
// successors could not be made. enroll and retire are for a fleet's location; "serial" is that of the list
// of its machines, and not there if nothing was to be changed; "declined" instead says why it would do harm,
// and "warning" what else went wrong then.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace stek::daemon {

/// There is no stekd at the socket, it does not answer in time, or it refused; what() says which.
class ControlError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

inline constexpr std::size_t longest_request = 4096;  ///< bytes
inline constexpr std::size_t longest_reply = 65536;   ///< bytes

/// The reply to a request, which has "ok": true. Throws ControlError.
nlohmann::json ask_stekd(const std::string& socket, const nlohmann::json& request,
                         std::chrono::milliseconds patience = std::chrono::seconds(30));

}  // namespace stek::daemon
