// What SoftHSM writes into its files, read without SoftHSM: the private half of a pair, in the clear.
#pragma once

#include "provider/key_ring.hpp"

#include <filesystem>
#include <memory>

#include <openssl/evp.h>

namespace stek::attack {

using Key = std::shared_ptr<EVP_PKEY>;

/// The private half with this id, from the files of the token directory; null if they cannot be read or do
/// not have it.
Key private_half_in(const std::filesystem::path& token, const PairId& id);
/// What the record's wrapped key holds, by RSA-OAEP in OpenSSL; empty if it is not for that key.
std::vector<std::uint8_t> unwrapped_outside(const Key& key, const RingRecord& record);

}  // namespace stek::attack
