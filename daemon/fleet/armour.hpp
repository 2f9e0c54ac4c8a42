// An enrolment request as text: for a mail, a ticket or a chat, by which it gets to who approves.
#pragma once

#include "pkcs11/secret.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

/// The frame in RFC 7468's textual encoding, "-----BEGIN STEKD ENROLMENT REQUEST-----". Throws FrameError if
/// libcrypto fails.
std::string armour_request(Bytes frame);

/// The frame of the first request in the text; what stands before and behind it is passed over. At most
/// largest_armoured bytes. Throws FrameError. Nothing of the frame has been looked at then.
std::vector<std::uint8_t> unarmour_request(std::string_view text);
inline constexpr std::size_t largest_armoured = std::size_t{64} << 10;

/// The same of a file. Throws std::system_error, too.
std::vector<std::uint8_t> read_armoured_request(const std::string& path);

}  // namespace stek::fleet
