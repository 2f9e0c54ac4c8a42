// A ticket token that is lost and made anew: it holds nothing that cannot be made again. Without it there are
// no tickets, with a new one only the older ones are lost.
#pragma once

#include "daemon/tokens.hpp"

#include <string>

namespace stek::daemon {

struct LostTicketToken {
    const pkcs11::TokenUri& uri;  ///< with module-path and, where one may be made, a label
    const std::string& module_config;
    const std::string& remake_pins;  ///< as Config::remake_pins
    const std::string& serial;       ///< of the one that is lost; empty: not known
    bool ring_is_there;              ///< servers have keys of it
};

/// Makes it anew and says so in the log. Throws `loss` if it may not be made, or if its files are there;
/// pkcs11::Error, TokenError, std::system_error.
void remake(const LostTicketToken& lost, const TicketTokenLost& loss);

}  // namespace stek::daemon
