// Which process this is, cheaply enough to ask on every ticket.
#pragma once

#include <cstdint>

namespace stek::pkcs11 {

/// Not 0. A child has another one than each process that it descends from (its process id may be that of one,
/// in a namespace of its own).
using ProcessNumber = std::uint64_t;

/// That of the calling process. One memory load where the kernel wipes a page on fork (Linux 4.14), a
/// getpid() elsewhere. Notices every fork(), also one that bypasses pthread_atfork().
ProcessNumber this_process() noexcept;

}  // namespace stek::pkcs11
