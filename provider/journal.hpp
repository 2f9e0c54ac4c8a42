// One datagram to the journal per change of state: a server program has no channel for us.
#pragma once

#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace stek::journal {

enum class Level : int { error = 3, warning = 4, notice = 5, info = 6 };  ///< syslog(3) priorities

/// Sends MESSAGE with PRIORITY, SYSLOG_IDENTIFIER=stek and the given fields (names upper-case, our own begin
/// with STEK_) to $STEK_JOURNAL_SOCKET if set (tests; ignored in set-user-id programs), else
/// /run/systemd/journal/socket, by sendmsg on a socket opened at the first call, non-blocking; dropped if
/// nobody listens. Never throws, never blocks, never uses stdio; safe in a chroot if open_socket() ran before
/// it. Message is native journal protocol (values with newlines length-framed).
void send(Level level, std::string_view message,
          std::initializer_list<std::pair<std::string_view, std::string>> fields = {}) noexcept;
/// Opens the (unconnected) socket and resolves the path early, before a chroot: connects if the journal is
/// there.
void open_socket() noexcept;

/// Lets `make` put a line together and send it. Where there is no memory for that there is no line: a server
/// must not end for want of one.
template <class Make>
void tell(const Make& make) noexcept {
    try {
        make();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): nobody to tell
    }
}

}  // namespace stek::journal
