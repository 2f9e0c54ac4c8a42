// P-256 keys that are made in a token and stay there: for signatures, and for the agreement of HPKE.
//
// OpenSSL uses them through libp11 (0.4.12). What was seen of it: PKCS11_open_session(), and with it
// PKCS11_login() and PKCS11_is_logged_in(), close every session of the process with that token, as do
// PKCS11_release_all_slots() and PKCS11_CTX_unload(): none of them is called here. The process is logged in
// by its own session already, and that serves libp11's too (Cryptoki's login is the process's).
#pragma once

#include "daemon/hpke_p256.hpp"
#include "pkcs11/session.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace stek::fleet {

/// libp11 or OpenSSL would not do with a key in the token; what() has their reason.
class TokenKeyError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

enum class Use : std::uint8_t {
    root,       ///< signs the fleet's list
    authority,  ///< signs certificates for the engine
    signing,    ///< signs what its party sends
    sealing,    ///< HPKE, for as long as the party is enrolled
    pre_key,    ///< HPKE, for one epoch: its number
};

/// What a token must offer for them: CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKM_ECDH1_DERIVE.
std::span<const pkcs11::NeededMechanism> token_key_mechanisms() noexcept;

struct TokenKey {
    hpke::KeyPtr key;  ///< the private half stays in the token; not to be used once its TokenKeys is gone
    hpke::Point point{};
};

/// The public half of a pair. It is seen without a login, and `session` may be read-only. Nothing if the
/// token has none. Throws pkcs11::Error. One thread at a time.
std::optional<hpke::Point> read_public_half(pkcs11::Session& session, Use use, std::uint64_t number = 0);

/// The keys in one token. Kept as token objects with CKA_LABEL "stekd root", "stekd authority", "stekd
/// signing", "stekd sealing" or "stekd pre-key", and CKA_ID the number (8 bytes, big-endian; 0 where there is
/// but one); each may do nothing but what its use needs, and is neither extractable, copyable nor modifiable.
/// One thread at a time.
class TokenKeys {
  public:
    /// `session`: logged in, read-write for make() and destroy(); must outlive the object. Throws
    /// TokenKeyError, pkcs11::TokenError (a mechanism is missing).
    explicit TokenKeys(pkcs11::Session& session);
    TokenKeys(const TokenKeys&) = delete;
    TokenKeys& operator=(const TokenKeys&) = delete;
    ~TokenKeys();

    /// Makes a pair in the token. Throws pkcs11::Error, TokenKeyError; std::logic_error if there is one.
    TokenKey make(Use use, std::uint64_t number = 0);
    /// Nothing if the token has no whole pair of that use and number. Throws pkcs11::Error, TokenKeyError.
    std::optional<TokenKey> find(Use use, std::uint64_t number = 0);
    /// The numbers of all pairs of that use, half-made ones too, sorted.
    std::vector<std::uint64_t> numbers(Use use);
    /// Both halves. Nothing happens if there are none.
    void destroy(Use use, std::uint64_t number);

  private:
    struct Libp11;
    [[nodiscard]] bool is_whole(CK_OBJECT_HANDLE private_half);

    pkcs11::Session* session_;
    std::unique_ptr<Libp11> libp11_;
};

}  // namespace stek::fleet
