// A machine's work on a real ticket token and a ring file.
#pragma once

#include "daemon/access.hpp"
#include "daemon/fleet/machine.hpp"
#include "daemon/progress.hpp"
#include "pkcs11/session.hpp"

#include <memory>
#include <string>

namespace stek::fleet {

/// Where things are, as the configuration has them.
struct TicketPlaces {
    std::string keyring;          ///< the ring file
    std::string token_directory;  ///< of SoftHSM; empty if the token is not in files
    unsigned ring_version = 1;
    bool private_pairs = false;  ///< CKA_PRIVATE: true on a real HSM
};

/// `session` is read-write on the ticket token, and logged in where the token wants it: borrowed, as
/// `readers` is. What a kill left of unfinished objects is removed, and readers may read what is there, once
/// it is made. Throws pkcs11 errors, std::system_error.
std::unique_ptr<TicketWork> make_ticket_work(pkcs11::Session& session, const daemon::Readers& readers,
                                             TicketPlaces places, daemon::Progress progress = {});

}  // namespace stek::fleet
