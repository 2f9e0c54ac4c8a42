// Exit codes of stekd and stekctl: sysexits(3), so that units can tell what is worth a restart.
#pragma once

#include <sysexits.h>

namespace stek::daemon {

inline constexpr int exit_ok = EX_OK;
inline constexpr int exit_findings = 1;               ///< --check found something
inline constexpr int exit_warnings = 1;               ///< the worst that doctor found is a warning
inline constexpr int exit_errors = 2;                 ///< the worst that doctor found is an error
inline constexpr int exit_usage = EX_USAGE;           ///< 64
inline constexpr int exit_data = EX_DATAERR;          ///< 65: a request, an offer or a share that is none
inline constexpr int exit_declined = EX_UNAVAILABLE;  ///< 69: enrolment or ceremony would do harm; not done
inline constexpr int exit_software = EX_SOFTWARE;     ///< 70
inline constexpr int exit_output = EX_IOERR;          ///< 74: what was to be said could not be written
inline constexpr int exit_exists = EX_CANTCREAT;      ///< 73: init would overwrite
inline constexpr int exit_temporary = EX_TEMPFAIL;    ///< 75: another stekd, a token that is down
inline constexpr int exit_refused = EX_NOPERM;        ///< 77: the token refused the PIN; never tried again
inline constexpr int exit_config = EX_CONFIG;         ///< 78

}  // namespace stek::daemon
