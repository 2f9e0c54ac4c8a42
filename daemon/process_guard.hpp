// What a process that handles PINs and key material does first.
#pragma once

namespace stek::daemon {

/// No core dump, and no other process of the same user may trace this one or read its memory, also where no
/// unit says so. Throws std::system_error.
void guard_process();

/// Keeps all of this process's memory out of swap, for the PKCS#11 module's sake: SoftHSM 2.6.1 as Debian
/// builds it locks none of its own. Takes no more memory than is used. False without CAP_IPC_LOCK or an
/// unlimited RLIMIT_MEMLOCK; then only Secrets are locked.
bool lock_memory() noexcept;

/// Before libcrypto is used. A server's openssl.cnf in the environment must not attach the provider to this
/// process; and libcrypto is not taken apart as the process ends, while a thread of cnats's may still be
/// closing a connection: that has ended stekctl and stekd, their work done, by SIGSEGV. (cnats's own way to
/// be waited for, nats_CloseAndWait(), frees what libssl frees once more.)
void prepare_libcrypto();

}  // namespace stek::daemon
