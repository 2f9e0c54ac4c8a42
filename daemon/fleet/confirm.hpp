// A person compares a fingerprint before somebody is believed, or let in.
#pragma once

#include <iosfwd>
#include <string>

namespace stek::fleet {

/// Throws EnrolmentRefused if one is given (not empty) and it is another.
void check_fingerprint(const std::string& given, const std::string& shown);
/// Until the terminal says yes. Throws EnrolmentRefused: there is none, or it says no (`refusal`).
void ask_at_terminal(std::ostream& out, const std::string& question, const char* refusal);

}  // namespace stek::fleet
