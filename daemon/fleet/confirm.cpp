#include "daemon/fleet/confirm.hpp"

#include "daemon/fleet/list_changes.hpp"

#include <iostream>
#include <unistd.h>

namespace stek::fleet {

void check_fingerprint(const std::string& given, const std::string& shown) {
    if (!given.empty() && given != shown)
        throw EnrolmentRefused(
            "the request has another fingerprint than the one given: it is not the one "
            "that was made there");
}

void ask_at_terminal(std::ostream& out, const std::string& question, const char* refusal) {
    if (::isatty(STDIN_FILENO) != 1)
        throw EnrolmentRefused(
            "there is no terminal to ask at: give --fingerprint, as it was shown where the request was made");
    for (std::string answer; answer != "yes";) {
        out << question << std::flush;
        if (!std::getline(std::cin, answer) || answer == "no")
            throw EnrolmentRefused(refusal);
    }
}

}  // namespace stek::fleet
