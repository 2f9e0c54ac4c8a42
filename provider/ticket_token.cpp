#include "provider/ticket_token.hpp"

#include "provider/rsa_spki.hpp"
#include "provider/unwrap_pair.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <openssl/rand.h>

namespace stek {

namespace {

using pkcs11::Attributes;
using pkcs11::Session;

constexpr std::string_view pair_label = "stekd ticket pair";
constexpr std::array<std::uint8_t, 3> f4{0x01, 0x00, 0x01};

}  // namespace

std::span<const pkcs11::NeededMechanism> ticket_mechanisms(bool making) noexcept {
    static constexpr std::array<pkcs11::NeededMechanism, 3> needed{{
        {CKM_RSA_PKCS_OAEP, CKF_UNWRAP},
        {CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT},
        {CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR},
    }};
    return std::span(needed).first(making ? 3 : 2);
}

Attributes unwrapped_stek_template() {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_ENCRYPT, true)
        .flag(CKA_DECRYPT, true)
        .flag(CKA_SIGN, false)
        .flag(CKA_VERIFY, false)
        .flag(CKA_WRAP, false)
        .flag(CKA_UNWRAP, false)
        .flag(CKA_DERIVE, false)
        .mechanisms({CKM_AES_GCM})
        .flag(CKA_COPYABLE, false)
        .flag(CKA_MODIFIABLE, false);
    return key;
}

TicketPair make_ticket_pair(Session& session, bool is_private, unsigned bits) {
    TicketPair pair;
    session.random(pair.id);
    const UnwrapPair wanted{pair_label, pair.id, bits, is_private};
    Attributes public_key = public_half(wanted);
    Attributes private_key = private_half(wanted, unwrapped_stek_template());
    CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    const pkcs11::KeyPair made = session.generate_key_pair(mechanism, public_key, private_key);
    pair.spki = read_rsa_spki(session, made.public_key);
    return pair;
}

bool destroy_ticket_pair(Session& session, const PairId& id) {
    bool found = false;
    // Private first: a kill in between leaves a public half, which opens nothing and is still listed.
    for (const CK_OBJECT_CLASS half : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
        Attributes pattern = halves(half, pair_label);
        pattern.bytes(CKA_ID, id);
        for (const CK_OBJECT_HANDLE object : session.find(pattern)) {
            session.destroy(object);
            found = true;
        }
    }
    return found;
}

std::vector<PairId> list_ticket_pairs(Session& session) {
    std::vector<PairId> ids;
    for (const CK_OBJECT_CLASS half : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
        Attributes pattern = halves(half, pair_label);
        for (const CK_OBJECT_HANDLE object : session.find(pattern)) {
            const auto id = session.attribute(object, CKA_ID);
            PairId pair;
            if (!id || id->size() != pair.size())
                continue;
            std::ranges::copy(*id, pair.begin());
            ids.push_back(pair);
        }
    }
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

CK_OBJECT_HANDLE find_ticket_pair(Session& session, const PairId& id) {
    Attributes pattern = halves(CKO_PRIVATE_KEY, pair_label);
    pattern.bytes(CKA_ID, id);
    const auto found = session.find(pattern);
    return found.empty() ? CK_INVALID_HANDLE : found.front();
}

// The mechanism list names CKM_RSA_PKCS_OAEP but not its hashes, so it is tried, with a public key nobody has
// the other half of: 2048 bits of which the top and the bottom one are set, the rest random.
OaepHash ticket_oaep_hash(const std::shared_ptr<pkcs11::Token>& token) {
    Session session(token, pkcs11::Access::read_only);
    std::array<std::uint8_t, 256> modulus{};
    if (RAND_bytes_ex(private_libctx(), modulus.data(), modulus.size(), 0) != 1)
        throw std::bad_alloc();
    modulus.front() |= 0x80;
    modulus.back() |= 0x01;
    Attributes object;
    object.number(CKA_CLASS, CKO_PUBLIC_KEY)
        .number(CKA_KEY_TYPE, CKK_RSA)
        .bytes(CKA_MODULUS, modulus)
        .bytes(CKA_PUBLIC_EXPONENT, f4)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_ENCRYPT, true)
        .flag(CKA_WRAP, false)
        .flag(CKA_VERIFY, false);
    const pkcs11::ScopedObject key(session, session.create(object));
    OaepMechanism mechanism(OaepHash::sha256);
    const std::array<std::uint8_t, 32> nothing{};
    std::array<std::uint8_t, modulus.size()> out{};
    CK_RV rv = CKR_OK;
    session.encrypt(mechanism.get(), key.get(), nothing, out, rv);
    return rv == CKR_OK ? OaepHash::sha256 : OaepHash::sha1;
}

CK_OBJECT_HANDLE unwrap_stek(Session& session, const RingRecord& record) {
    const CK_OBJECT_HANDLE pair = find_ticket_pair(session, record.pair);
    if (pair == CK_INVALID_HANDLE)
        throw pkcs11::TokenError("token " + session.token().label() +
                                 " does not hold the pair of this key: revoked, or another token");
    OaepMechanism mechanism(record.oaep);
    Attributes key = unwrapped_stek_template();
    return session.unwrap(mechanism.get(), pair, record.wrapped_key, key);
}

}  // namespace stek
