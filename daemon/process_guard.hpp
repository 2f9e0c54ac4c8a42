// What a process that handles PINs and key material does first.
#pragma once

namespace stek::daemon {

/// No core dump, and no other process of the same user may trace this one or read its memory, also where no
/// unit says so. Throws std::system_error.
void guard_process();

}  // namespace stek::daemon
