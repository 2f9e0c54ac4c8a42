// Secrets are wiped before their memory goes, locked, left out of dumps, and cannot be printed or copied.
#define BOOST_TEST_MODULE pkcs11_secret
#include "pkcs11/secret.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <type_traits>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace stek;

namespace {

const void* watched = nullptr;
int unmapped_wiped = 0, unmapped_dirty = 0;

bool all_zero(Bytes bytes) {
    return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

/// The VmFlags of the mapping that holds the address (proc(5)).
std::vector<std::string> vm_flags(const void* address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream smaps("/proc/self/smaps");
    std::string line;
    bool inside = false;
    while (std::getline(smaps, line)) {
        unsigned long begin = 0, end = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
            inside = begin <= wanted && wanted < end;
        } else if (inside && line.starts_with("VmFlags:")) {
            std::istringstream words(line.substr(8));
            return {std::istream_iterator<std::string>(words), {}};
        }
    }
    return {};
}

bool has(const std::vector<std::string>& flags, const char* flag) {
    return std::ranges::count(flags, flag) == 1;
}

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
    out << value;
};

}  // namespace

/// Stands before libc's: what a secret's pages hold when they are given back.
extern "C" __attribute__((visibility("default"))) int munmap(void* address, std::size_t size) noexcept {
    if (address == watched) {
        ++(all_zero({static_cast<const std::uint8_t*>(address), size}) ? unmapped_wiped : unmapped_dirty);
    }
    return static_cast<int>(syscall(SYS_munmap, address, size));
}

/// Before that of AddressSanitizer, which does nothing.
extern "C" __attribute__((visibility("default"))) int mlock(const void* address, std::size_t size) noexcept {
    return static_cast<int>(syscall(SYS_mlock, address, size));
}

BOOST_AUTO_TEST_CASE(pages_are_wiped_before_they_are_unmapped) {
    {
        Secret secret(5000);
        watched = secret.data();
        std::ranges::fill(secret.span(), 0xA5);
    }
    BOOST_TEST(unmapped_wiped == 1);
    BOOST_TEST(unmapped_dirty == 0);
    Secret target = Secret::copy_of(std::vector<std::uint8_t>(40, 0x5A));
    watched = target.data();
    target = Secret(10);
    BOOST_TEST(unmapped_wiped == 2);
    BOOST_TEST(unmapped_dirty == 0);
    watched = nullptr;
}

BOOST_AUTO_TEST_CASE(memory_is_locked_and_left_out_of_dumps) {
    const Secret secret(100);
    const auto flags = vm_flags(secret.data());
    BOOST_TEST(has(flags, "dd"));
    BOOST_TEST(has(flags, "lo"));
}

BOOST_AUTO_TEST_CASE(without_memlock_rights_a_secret_still_works_and_is_not_dumped) {
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        const rlimit none{0, 0};
        const bool limited = setrlimit(RLIMIT_MEMLOCK, &none) == 0 &&
                             (geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);  // root may lock anyway
        const Secret secret = Secret::copy_of(std::vector<std::uint8_t>{1, 2, 3});
        const bool works = secret.size() == 3 && secret.data()[2] == 3;
        _exit(limited && works ? 0 : 1);
    }
    int status = 0;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(a_new_secret_is_zero_and_of_its_size) {
    const Secret secret(4097);
    BOOST_TEST(secret.size() == 4097U);
    BOOST_TEST(all_zero(secret.bytes()));
    const Secret empty(0);
    BOOST_TEST(empty.empty());
    BOOST_TEST(Secret::copy_of({}).empty());
}

BOOST_AUTO_TEST_CASE(an_impossible_size_is_bad_alloc) {
    BOOST_CHECK_THROW(Secret(SIZE_MAX), std::bad_alloc);
    BOOST_CHECK_THROW(Secret(SIZE_MAX / 2), std::bad_alloc);
}

BOOST_AUTO_TEST_CASE(truncating_wipes_what_is_cut_off) {
    Secret secret = Secret::copy_of(std::vector<std::uint8_t>(64, 0xFF));
    secret.truncate(10);
    BOOST_TEST(secret.size() == 10U);
    BOOST_TEST(secret.data()[9] == 0xFF);
    BOOST_TEST(all_zero({secret.data() + 10, 54}));
    secret.truncate(50);
    BOOST_TEST(secret.size() == 10U);
}

BOOST_AUTO_TEST_CASE(moving_empties_the_source) {
    Secret from = Secret::copy_of(std::vector<std::uint8_t>{7, 8});
    const std::uint8_t* address = from.data();
    Secret to(std::move(from));
    BOOST_TEST(from.empty());  // NOLINT(bugprone-use-after-move): the state after a move is what is tested
    BOOST_TEST(to.data() == address);
    Secret assigned(3);
    assigned = std::move(to);
    BOOST_TEST(to.empty());  // NOLINT(bugprone-use-after-move)
    BOOST_TEST(assigned.data() == address);
    BOOST_TEST(assigned.size() == 2U);
}

BOOST_AUTO_TEST_CASE(an_array_is_wiped_where_it_was) {
    alignas(SecretArray<32>) std::uint8_t place[sizeof(SecretArray<32>)];
    auto* secret = new (place) SecretArray<32>;
    BOOST_TEST(all_zero(secret->bytes()));
    std::ranges::fill(secret->span(), 0xEE);
    secret->~SecretArray();
    const volatile std::uint8_t* seen = place;
    BOOST_TEST(std::all_of(seen, seen + sizeof place, [](std::uint8_t byte) { return byte == 0; }));
}

BOOST_AUTO_TEST_CASE(secrets_are_neither_copied_nor_printed) {
    static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
    static_assert(!std::is_copy_constructible_v<SecretArray<8>> &&
                  !std::is_copy_assignable_v<SecretArray<8>>);
    BOOST_TEST(!Printable<Secret>);
    BOOST_TEST(!Printable<SecretArray<8>>);
    BOOST_TEST(Printable<int>);
}
