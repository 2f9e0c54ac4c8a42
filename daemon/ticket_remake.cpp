#include "daemon/ticket_remake.hpp"

#include "daemon/access.hpp"
#include "daemon/log.hpp"
#include "daemon/token_maker.hpp"

#include <filesystem>

namespace stek::daemon {

void remake(const LostTicketToken& lost, const TicketTokenLost& loss) {
    const auto remains = softhsm_token_directory(lost.module_config, lost.serial);
    const bool its_files_are_there = !remains.empty() && std::filesystem::exists(remains + "/token.object");
    if (lost.remake_pins.empty() || its_files_are_there)
        throw TicketTokenLost(loss);
    // Without the state nobody knows whether a token was lost or the URI is wrong.
    if (lost.serial.empty() && std::filesystem::exists(lost.remake_pins + "/ticket.pin"))
        throw pkcs11::TokenError(std::string(loss.what()) + "; none is made: " + lost.remake_pins +
                                 "/ticket.pin may be the PIN of one that is there");
    // Keys without a token; or the generation file alone, which SoftHSM writes to the last.
    if (!remains.empty())
        std::filesystem::remove_all(remains);
    TokenMaker(*lost.uri.module_path(), lost.module_config).remake(*lost.uri.token_label(), lost.remake_pins);
    // A stop wipes it together with the ring.
    if (!lost.ring_is_there)
        log(LOG_NOTICE, "there was no ticket token yet: it is made");
    else
        log(LOG_WARNING, std::string("the ticket token is lost and made anew, older tickets open no more: ") +
                             loss.what());
}

}  // namespace stek::daemon
