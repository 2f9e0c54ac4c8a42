// A library that, preloaded into a program, lets chosen allocations fail; and the test's side of it.
//
//     LD_PRELOAD=allocation_fault.so STEK_ALLOCATION_FAULT=<file> program
//
// Two sides share the file, as with FaultyModule: what is set there holds for the next allocation of any
// process that has the library. An allocation is on the account of the provider if stek.so or the PKCS#11
// module is anywhere on its stack: so a server's own never fail, which would be the server's affair.
#pragma once

#include <atomic>
#include <cstdint>

namespace stek::tests {

struct AllocationControl {
    std::atomic<std::uint64_t> one_in{0};           ///< of so many fails one; 1: all of them; 0: none
    std::atomic<bool> whole_program{false};         ///< not only those on the provider's account
    std::atomic<std::uint64_t> seen{0}, failed{0};  ///< while one_in is not 0
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

}  // namespace stek::tests
