// What an attempt brought home.
#pragma once

#include "pkcs11/cryptoki.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace stek::attack {

struct Loot {
    CK_RV rv = CKR_OK;
    std::string use;                  ///< a wider use than a STEK or a pair may have, tried; empty if none
    std::vector<std::uint8_t> bytes;  ///< whatever came out; the test looks for the STEK in them
    std::string why;                  ///< why an answer of CKR_OK gives nothing
    std::string said;                 ///< in place of the CK_RV: errno's name
};

inline Loot answered(CK_RV rv) {
    Loot loot;
    loot.rv = rv;
    return loot;
}
inline Loot harmless(CK_RV rv, std::string why, std::vector<std::uint8_t> bytes = {}) {
    Loot loot = answered(rv);
    loot.why = std::move(why);
    loot.bytes = std::move(bytes);
    return loot;
}
/// A success if the token said CKR_OK.
inline Loot gained(CK_RV rv, const std::string& use, std::vector<std::uint8_t> bytes = {}) {
    Loot loot = answered(rv);
    loot.bytes = std::move(bytes);
    if (rv == CKR_OK)
        loot.use = use;
    return loot;
}

}  // namespace stek::attack
