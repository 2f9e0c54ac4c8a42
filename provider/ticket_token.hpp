// The ticket token: RSA-3072 pairs whose private halves can do one thing, unwrap a STEK that can do one
// thing.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/key_ring.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace stek {

/// What a ticket token must offer to a server (unwrap, AES-GCM) and, with `making`, to stekd (pair
/// generation).
std::span<const pkcs11::NeededMechanism> ticket_mechanisms(bool making) noexcept;

struct TicketPair {
    PairId id{};  ///< 16 random bytes
    std::vector<std::uint8_t>
        spki;  ///< DER SubjectPublicKeyInfo; stekd wraps only to those that it made itself and remembers
};

/// Makes a pair with the templates of the design (private: CKA_UNWRAP only, OAEP only, unwrap template, not
/// copyable, not modifiable). `is_private` is CKA_PRIVATE: false on SoftHSM, true on a real HSM. Takes 0.1 to
/// 2 s. Read-write session.
TicketPair make_ticket_pair(pkcs11::Session& session, bool is_private, unsigned bits = 3072);
/// Destroys both halves; absent is fine. Returns whether anything was there.
bool destroy_ticket_pair(pkcs11::Session& session, const PairId& id);
/// The ids of all pairs in the token, also of those that lack a half (a kill while one was made), so that
/// each can be destroyed. In rising order, each once.
std::vector<PairId> list_ticket_pairs(pkcs11::Session& session);
/// The private half's handle, or CK_INVALID_HANDLE.
CK_OBJECT_HANDLE find_ticket_pair(pkcs11::Session& session, const PairId& id);
/// The best OAEP hash that this token works with: SHA-256, else SHA-1 (SoftHSM). Tried with a public key in a
/// session of its own, so no login is needed.
OaepHash ticket_oaep_hash(const std::shared_ptr<pkcs11::Token>& token);

/// The template of every unwrapped STEK, which is also the pair's CKA_UNWRAP_TEMPLATE: the token compares the
/// two, and wants each attribute of the second in the first.
pkcs11::Attributes unwrapped_stek_template();

/// Unwraps the record's STEK to a session object of `session` (AES-GCM only, non-extractable). One RSA
/// operation. Throws pkcs11::Error; TokenError if the pair is not in the token (revoked).
CK_OBJECT_HANDLE unwrap_stek(pkcs11::Session& session, const RingRecord& record);

/// The enforcement probe: makes a pair and tries to get more out of it than the templates allow (an
/// extractable key, other usages, PKCS#1 v1.5, decrypt or sign with the pair, change, copy, derive). Each row
/// is one attempt; all must be refused. Leaves nothing in the token.
struct ProbeResult {
    std::string attempt;  ///< "unwrap to an extractable key"
    bool refused;
    std::string answer;  ///< "CKR_TEMPLATE_INCONSISTENT"
};
std::vector<ProbeResult> probe_enforcement(pkcs11::Session& read_write, bool is_private);
/// The attempts on a pair that is there, with keys that it unwraps by `stek_template`; the pair itself stays.
/// Throws TokenError if it cannot even unwrap and seal.
using StekTemplate = pkcs11::Attributes (*)();
std::vector<ProbeResult> probe_pair(pkcs11::Session& read_write, const TicketPair& pair,
                                    StekTemplate stek_template = unwrapped_stek_template);
[[nodiscard]] bool enforced(const std::vector<ProbeResult>& results) noexcept;

}  // namespace stek
