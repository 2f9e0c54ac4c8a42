#include "provider/journal.hpp"

#include "provider/file.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace stek::journal {
namespace {

constexpr char default_path[] = "/run/systemd/journal/socket";
constexpr std::size_t longest_value = 4096;  // far below what one datagram may hold

struct Address {
    sockaddr_un name{};
    bool usable = false;
};

/// Settled once: a server may clear its environment later (nginx does).
const Address& address() noexcept {
    static const Address settled = [] {
        const char* given = ::secure_getenv("STEK_JOURNAL_SOCKET");
        const char* path = given != nullptr ? given : default_path;
        Address made;
        made.name.sun_family = AF_UNIX;
        made.usable = std::strlen(path) < sizeof made.name.sun_path;
        if (made.usable)
            std::strcpy(made.name.sun_path, path);
        return made;
    }();
    return settled;
}

/// Our socket as one word, descriptor above inode: servers close descriptors that they do not know when they
/// go to the background, and then the number may be a client's connection. 0 is none.
std::atomic<std::uint64_t> our_socket{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

std::uint64_t identity(int fd) noexcept {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode))
        return 0;
    return std::uint64_t{static_cast<std::uint32_t>(fd)} << 32 | static_cast<std::uint32_t>(status.st_ino);
}

/// The descriptor, opened if need be; -1 if that fails.
int socket_descriptor() noexcept {
    std::uint64_t known = our_socket.load(std::memory_order_acquire);
    for (;;) {
        const int fd = static_cast<int>(known >> 32);
        if (known != 0 && identity(fd) == known)
            return fd;
        const Fd low(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        // Never 0, 1 or 2: a server that closed them would write its standard error to the journal.
        Fd fresh(low ? ::fcntl(low.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1);
        const std::uint64_t made = fresh ? identity(fresh.get()) : 0;
        if (made == 0)
            return -1;
        if (our_socket.compare_exchange_strong(known, made, std::memory_order_acq_rel))
            return fresh.release();
    }
}

bool connect_to_journal(int fd) noexcept {
    const Address& to = address();
    return to.usable && ::connect(fd, reinterpret_cast<const sockaddr*>(&to.name), sizeof to.name) == 0;
}

bool send_datagram(int fd, const std::string& datagram) noexcept {
    iovec part{const_cast<char*>(datagram.data()), datagram.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/// Native journal protocol: NAME=value\n, or for a value with a newline NAME\n, its size as 64 bits
/// little-endian, value\n.
void append_field(std::string& datagram, std::string_view name, std::string_view value) {
    value = value.substr(0, longest_value);
    datagram.append(name);
    if (value.find('\n') == std::string_view::npos) {
        datagram.push_back('=');
    } else {
        datagram.push_back('\n');
        for (unsigned shift = 0; shift < 64; shift += 8)
            datagram.push_back(static_cast<char>(std::uint64_t{value.size()} >> shift & 0xff));
    }
    datagram.append(value);
    datagram.push_back('\n');
}

}  // namespace

void open_socket() noexcept {
    const int saved = errno;
    if (const int fd = socket_descriptor(); fd >= 0)
        connect_to_journal(fd);
    errno = saved;
}

void send(Level level, std::string_view message,
          std::initializer_list<std::pair<std::string_view, std::string>> fields) noexcept {
    const int saved = errno;
    try {
        std::string datagram;
        append_field(datagram, "MESSAGE", message);
        append_field(datagram, "PRIORITY", std::to_string(static_cast<int>(level)));
        append_field(datagram, "SYSLOG_IDENTIFIER", "stek");
        for (const auto& [name, value] : fields)
            append_field(datagram, name, value);
        // A fresh socket is not connected, and one whose journal went away no longer: EAGAIN, a full queue,
        // is not worth another try.
        const int fd = socket_descriptor();
        if (fd >= 0 && !send_datagram(fd, datagram) && errno != EAGAIN && connect_to_journal(fd))
            send_datagram(fd, datagram);
    } catch (const std::exception&) {
        // Out of memory: nobody to tell.
    }
    errno = saved;
}

}  // namespace stek::journal
