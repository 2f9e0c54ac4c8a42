// The state behind one STEK-AES-256-GCM context, and its work. Exceptions may leave; cipher.cpp stops them.
#pragma once

#include "provider/context.hpp"
#include "provider/ticket.hpp"

#include <array>
#include <cstdint>
#include <vector>

#include <openssl/core.h>

namespace stek {

inline constexpr std::size_t key_size = 32;
/// Gives update room for the 8 bytes of time in front, and final for the tag: EVP promises one block more
/// than the input.
inline constexpr std::size_t block_size = 16;

enum class Phase {
    fresh,     // no IV, or no key yet
    ready,     // may take additional data and the one message
    updated,   // the message is through; final is due
    declined,  // opening failed: final says so
    finished
};

struct Cipher {
    ProviderContext* provider = nullptr;
    Phase phase = Phase::fresh;
    bool sealing = false;
    bool have_name = false;
    KeyName name{};
    std::array<std::uint8_t, gcm_iv_size> iv{};
    std::array<std::uint8_t, gcm_tag_size> tag{};
    std::vector<std::uint8_t> aad;  // what the caller gave
    std::array<std::uint8_t, ticket_aad_size> ticket_aad{};
    TicketExchange* exchange = nullptr;  // ticket mode; owned by the connection
};

/// The private and public parameters of provider/ticket.hpp, and lengths, which can only be confirmed. Like
/// all that follow: false with an error raised.
bool set_cipher_params(Cipher& cipher, const OSSL_PARAM params[]);
/// `key` must be null: keys are named. Without an IV the context waits for another init.
bool init_cipher(Cipher& cipher, bool sealing, const unsigned char* key, const unsigned char* iv,
                 std::size_t iv_size, const OSSL_PARAM params[]);
/// `out` null: additional data. Else the one message; up to `room` bytes are written.
bool update_cipher(Cipher& cipher, unsigned char* out, std::size_t& written, std::size_t room, Bytes in);
/// Sealing: the tag. Opening: whether it opened.
bool finish_cipher(Cipher& cipher, unsigned char* out, std::size_t& written, std::size_t room);

}  // namespace stek
