// Which process this is, cheaply enough to ask on every ticket.
#pragma once

#include <sys/types.h>

namespace stek::pkcs11 {

/// The pid of the calling process. One memory load where the kernel wipes a page on fork (Linux 4.14), a
/// getpid() elsewhere. Notices every fork(), also one that bypasses pthread_atfork().
pid_t this_process() noexcept;

}  // namespace stek::pkcs11
