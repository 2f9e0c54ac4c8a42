// Datagrams as the journal would get them, and that a server never suffers from a journal that is not there.
#define BOOST_TEST_MODULE journal
#include "provider/journal.hpp"

#include "provider/file.hpp"
#include "tests/fixtures/workspace.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

using namespace stek;
using journal::Level;

namespace {

/// Where the journal is said to be; settled before the first send and for the whole program, as in a server.
struct Place {
    test::Workspace workspace{"journal"};
    std::string path = workspace.path() / "socket";
    Place() { ::setenv("STEK_JOURNAL_SOCKET", path.c_str(), 1); }
};
Place& place() {
    static Place only;
    return only;
}

/// The journal's end: listens while it lives.
class Listener {
  public:
    Listener() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, place().path.c_str(), sizeof address.sun_path - 1);
        BOOST_REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener() { std::filesystem::remove(place().path); }

    std::optional<std::string> receive() {
        std::string datagram(std::size_t{1} << 18, '\0');
        const ssize_t size = ::recv(socket_.get(), datagram.data(), datagram.size(), 0);
        if (size < 0)
            return std::nullopt;
        datagram.resize(static_cast<std::size_t>(size));
        return datagram;
    }

  private:
    Fd socket_;
};

/// The native protocol, parsed as systemd describes it.
std::map<std::string, std::string> fields_of(const std::string& datagram) {
    std::map<std::string, std::string> fields;
    std::size_t at = 0;
    while (at < datagram.size()) {
        const std::size_t end = datagram.find_first_of("=\n", at);
        BOOST_REQUIRE(end != std::string::npos);
        const std::string name = datagram.substr(at, end - at);
        std::size_t begin = end + 1;
        std::uint64_t size = 0;
        if (datagram[end] == '=') {
            size = datagram.find('\n', begin) - begin;
        } else {
            for (unsigned i = 0; i < 8; ++i)
                size |= std::uint64_t{static_cast<std::uint8_t>(datagram.at(begin + i))} << 8 * i;
            begin += 8;
        }
        BOOST_REQUIRE(begin + size < datagram.size());
        BOOST_REQUIRE(datagram[begin + size] == '\n');
        fields[name] = datagram.substr(begin, size);
        at = begin + size + 1;
    }
    return fields;
}

std::map<std::string, std::string> next(Listener& listener) {
    const auto datagram = listener.receive();
    BOOST_REQUIRE(datagram.has_value());
    return fields_of(*datagram);
}

struct Fixture {
    Fixture() { place(); }
};

unsigned open_descriptors() {
    return static_cast<unsigned>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(nobody_listens_and_nothing_happens, Fixture) {
    journal::open_socket();
    errno = 4711;
    for (unsigned i = 0; i < 100; ++i)
        journal::send(Level::error, "into the void");
    BOOST_TEST(errno == 4711);
}

BOOST_FIXTURE_TEST_CASE(a_journal_that_comes_later_is_found, Fixture) {
    journal::send(Level::notice, "lost");
    Listener listener;
    journal::send(Level::warning, "ring absent", {{"STEK_STATE", "absent"}, {"STEK_EPOCH", "500000"}});
    const std::map<std::string, std::string> expected = {{"MESSAGE", "ring absent"},
                                                         {"PRIORITY", "4"},
                                                         {"SYSLOG_IDENTIFIER", "stek"},
                                                         {"STEK_STATE", "absent"},
                                                         {"STEK_EPOCH", "500000"}};
    BOOST_TEST((next(listener) == expected));
    BOOST_TEST(!listener.receive().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_restarted_journal_is_found_again, Fixture) {
    for (unsigned i = 0; i < 3; ++i) {
        Listener listener;
        journal::send(Level::info, "round " + std::to_string(i));
        BOOST_TEST(next(listener)["MESSAGE"] == "round " + std::to_string(i));
    }
}

BOOST_FIXTURE_TEST_CASE(values_cannot_forge_fields, Fixture) {
    Listener listener;
    const std::string nasty = "a=b\nPRIORITY=0\nMESSAGE=forged\n";
    journal::send(Level::error, nasty,
                  {{"STEK_A", nasty}, {"STEK_B", std::string("\0\n", 2)}, {"STEK_C", ""}});
    auto fields = next(listener);
    BOOST_TEST(fields.size() == 6U);
    BOOST_TEST(fields["MESSAGE"] == nasty);
    BOOST_TEST(fields["PRIORITY"] == "3");
    BOOST_TEST(fields["STEK_A"] == nasty);
    BOOST_TEST(fields["STEK_B"] == std::string("\0\n", 2));
    BOOST_TEST(fields["STEK_C"].empty());
}

BOOST_FIXTURE_TEST_CASE(long_values_are_cut, Fixture) {
    Listener listener;
    journal::send(Level::info, std::string(1'000'000, 'x'));
    BOOST_TEST(next(listener)["MESSAGE"] == std::string(4096, 'x'));
}

BOOST_FIXTURE_TEST_CASE(a_journal_that_does_not_read_blocks_nobody, Fixture) {
    Listener listener;
    for (unsigned i = 0; i < 5000; ++i)
        journal::send(Level::info, "more than any queue holds");
    unsigned received = 0;
    while (listener.receive())
        ++received;
    BOOST_TEST(received > 0U);
    BOOST_TEST(received < 5000U);
    journal::send(Level::info, "again");
    BOOST_TEST(next(listener)["MESSAGE"] == "again");
}

// Servers close what they do not know when they go to the background, and the number is somebody else's then.
BOOST_FIXTURE_TEST_CASE(a_descriptor_closed_by_the_server_is_not_mistaken_for_ours, Fixture) {
    Listener listener;
    journal::send(Level::info, "first");
    BOOST_TEST(next(listener)["MESSAGE"] == "first");
    // The server's: whatever number it has, now every other one is a connection to a client.
    int clients[2];
    BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, clients) == 0);
    const Fd client_end(clients[0]);
    const Fd server_end(clients[1]);
    std::vector<Fd> taken;
    for (int fd = 3; fd < 100; ++fd) {
        struct sockaddr_un peer {};
        socklen_t size = sizeof peer;
        const bool ours = ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
                          place().path == peer.sun_path;
        if (ours)
            taken.emplace_back(::dup3(server_end.get(), fd, O_CLOEXEC));
    }
    BOOST_TEST(taken.size() == 1U);
    journal::send(Level::info, "second");
    BOOST_TEST(next(listener)["MESSAGE"] == "second");
    char byte = 0;
    BOOST_TEST(::recv(client_end.get(), &byte, 1, MSG_DONTWAIT) == -1);
    taken.clear();
    journal::send(Level::info, "third");
    BOOST_TEST(next(listener)["MESSAGE"] == "third");
}

BOOST_FIXTURE_TEST_CASE(threads_and_children_send_whole_datagrams_over_one_socket, Fixture) {
    Listener listener;
    journal::send(Level::info, "open");
    next(listener);
    const unsigned before = open_descriptors();
    std::vector<std::string> datagrams;
    std::atomic<bool> done{false};
    std::jthread journald([&] {
        for (bool last = false; !last;) {
            last = done;
            while (const auto datagram = listener.receive())
                datagrams.push_back(*datagram);
            std::this_thread::yield();
        }
    });
    {
        std::vector<std::jthread> threads;
        for (unsigned t = 0; t < 3; ++t) {
            threads.emplace_back([] {
                for (unsigned i = 0; i < 200; ++i) {
                    journal::send(Level::info, "thread");
                    std::this_thread::sleep_for(std::chrono::microseconds(200));
                }
            });
        }
        for (unsigned i = 0; i < 20; ++i) {
            const pid_t child = ::fork();
            BOOST_REQUIRE(child >= 0);
            if (child == 0) {
                journal::send(Level::info, "child");
                ::_exit(0);
            }
            BOOST_REQUIRE(::waitpid(child, nullptr, 0) == child);
        }
    }
    done = true;
    journald.join();
    std::multiset<std::string> received;
    for (const std::string& datagram : datagrams)
        received.insert(fields_of(datagram)["MESSAGE"]);
    // A full queue may drop some, never spoil one.
    BOOST_TEST(received.count("child") > 0U);
    BOOST_TEST(received.count("thread") > 0U);
    BOOST_TEST(received.count("child") + received.count("thread") == received.size());
    BOOST_TEST(open_descriptors() == before);
}
