// A descriptor whose number a server has closed and given to somebody else is nobody's business here.
#define BOOST_TEST_MODULE anonymous_fd
#include "provider/anonymous_fd.hpp"

#include "provider/file.hpp"

#include <array>
#include <fcntl.h>

#include <boost/test/unit_test.hpp>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

using namespace stek;

namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_kind_is_used_and_closed) {
    for (const int fd : {::eventfd(0, EFD_CLOEXEC), ::inotify_init1(IN_CLOEXEC),
                         ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)}) {
        {
            const AnonymousFd owned(fd);
            BOOST_TEST(owned.get() == fd);
        }
        BOOST_TEST(!is_open(fd));
    }
}

BOOST_AUTO_TEST_CASE(none_is_none) {
    BOOST_TEST(AnonymousFd(-1).get() == -1);
}

BOOST_AUTO_TEST_CASE(one_that_is_another_s_by_now_is_neither_used_nor_closed) {
    std::array<int, 2> sockets{};
    BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) == 0);
    const Fd one(sockets[0]), other(sockets[1]);
    const int number = ::eventfd(0, EFD_CLOEXEC);
    {
        const AnonymousFd owned(number);
        BOOST_REQUIRE(::close(number) == 0);
        BOOST_TEST(owned.get() == -1);
        BOOST_REQUIRE(::dup2(one.get(), number) == number);
        BOOST_TEST(owned.get() == -1);
    }
    BOOST_TEST(is_open(number));
    ::close(number);
}

// Of the same kind, too: a server has its own eventfds.
BOOST_AUTO_TEST_CASE(one_of_the_same_kind_that_is_another_s_is_told_apart) {
    const Fd another(::eventfd(0, EFD_CLOEXEC));
    const int number = ::eventfd(0, EFD_CLOEXEC);
    {
        const AnonymousFd owned(number);
        BOOST_TEST(owned.get() == number);
        BOOST_REQUIRE(::dup2(another.get(), number) == number);
        BOOST_TEST(owned.get() == -1);
    }
    BOOST_TEST(is_open(number));
    ::close(number);
}
