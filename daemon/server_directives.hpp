// What the configurations of nginx, HAProxy and Apache say about tickets. Read modestly: one directive at a
// time, in the files that Debian's layout includes; no include is followed, no context understood.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stek::daemon {

/// A line that keeps the server from giving tickets.
struct TicketBan {
    std::string file, setting;
    bool operator==(const TicketBan&) const = default;
};

struct ServerDirectives {
    std::vector<TicketBan> bans;
    std::int64_t session_timeout = 0;  ///< seconds; the longest that is configured, or the server's default
    std::string timeout_setting;       ///< "ssl_session_timeout in /etc/nginx/nginx.conf", or "its default"
    bool keeps_openssl_conf = true;    ///< nginx: `env OPENSSL_CONF;`, else a binary upgrade loses it
};

/// `folder` is the server's, as /etc/nginx. What is not there says nothing.
ServerDirectives read_nginx(const std::string& folder);
ServerDirectives read_haproxy(const std::string& folder);
ServerDirectives read_apache(const std::string& folder);

/// "300", "5m", "1h 30m", "1d": seconds, rounded up. Units as nginx and HAProxy have them (us, ms, s, m, h,
/// d, w, M, y); nothing if it is none.
std::optional<std::int64_t> parse_timeout(std::string_view text);

}  // namespace stek::daemon
