// Tasks that a second thread does.
#define BOOST_TEST_MODULE beside
#include "daemon/beside.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <dlfcn.h>
#include <numeric>
#include <pthread.h>
#include <stdexcept>

#include <boost/test/unit_test.hpp>

using stek::daemon::Beside;

namespace {

bool no_threads = false;

struct WithoutThreads {
    WithoutThreads() { no_threads = true; }
    ~WithoutThreads() { no_threads = false; }
};

}  // namespace

/// Stands before libc's: a process may have all the threads it is allowed.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*),
                                                                     void* argument) noexcept {
    if (no_threads)
        return EAGAIN;
    using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static auto* const real = reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"));
    return real(thread, attributes, start, argument);
}

BOOST_AUTO_TEST_CASE(all_are_done_in_their_order_by_another_thread) {
    constexpr std::size_t count = 10'000;
    std::vector<std::size_t> done;
    done.reserve(count);
    const auto here = std::this_thread::get_id();
    std::size_t elsewhere = 0;
    Beside beside(count, [&](std::size_t number) {
        done.push_back(number);
        elsewhere += std::this_thread::get_id() != here ? 1 : 0;
    });
    for (std::size_t number = 0; number < count; ++number)
        beside.wait_for(number);
    std::vector<std::size_t> expected(count);
    std::iota(expected.begin(), expected.end(), std::size_t{0});
    BOOST_TEST(done == expected, boost::test_tools::per_element());
    BOOST_TEST(elsewhere == count);
}

BOOST_AUTO_TEST_CASE(what_one_throws_is_thrown_to_who_waits_for_it_and_the_others_are_done) {
    for (const bool alone : {false, true}) {
        no_threads = alone;
        std::vector<int> results(5);
        Beside beside(results.size(), [&](std::size_t number) {
            if (number == 2)
                throw std::runtime_error("the third");
            results[number] = 1;
        });
        no_threads = false;
        for (std::size_t number = 0; number < results.size(); ++number)
            if (number == 2)
                BOOST_CHECK_EXCEPTION(beside.wait_for(number), std::runtime_error, [](const auto& error) {
                    return std::string(error.what()) == "the third";
                });
            else
                beside.wait_for(number);
        BOOST_TEST(results == (std::vector<int>{1, 1, 0, 1, 1}), boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(nobody_has_to_wait_for_all) {
    constexpr std::size_t count = 10'000;
    std::size_t done = 0;
    {
        Beside beside(count, [&](std::size_t) {
            ++done;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        beside.wait_for(0);
    }
    BOOST_TEST(done >= 1U);
    BOOST_TEST(done < count);
    const Beside none(0, [](std::size_t) { throw std::logic_error("there is none"); });
}

BOOST_AUTO_TEST_CASE(without_a_thread_who_waits_does_them) {
    const WithoutThreads scene;
    BOOST_CHECK_THROW(std::thread([] {}).join(), std::system_error);
    const auto here = std::this_thread::get_id();
    std::vector<std::size_t> done;
    Beside beside(3, [&](std::size_t number) {
        BOOST_TEST((std::this_thread::get_id() == here));
        done.push_back(number);
    });
    for (std::size_t number = 0; number < 3; ++number)
        beside.wait_for(number);
    BOOST_TEST(done == (std::vector<std::size_t>{0, 1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(signals_are_not_for_it) {
    sigset_t mask;
    sigemptyset(&mask);
    Beside beside(1, [&](std::size_t) { pthread_sigmask(SIG_BLOCK, nullptr, &mask); });
    beside.wait_for(0);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD})
        BOOST_TEST(sigismember(&mask, signal) == 1);
    sigset_t own;
    pthread_sigmask(SIG_BLOCK, nullptr, &own);
    BOOST_TEST(sigismember(&own, SIGTERM) == 0);
}
