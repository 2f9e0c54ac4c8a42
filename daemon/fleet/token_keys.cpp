#include "daemon/fleet/token_keys.hpp"

#include <algorithm>
#include <array>
#include <libp11.h>
#include <set>
#include <string_view>

#include <openssl/err.h>

namespace stek::fleet {
namespace {

using pkcs11::Attributes;

// secp256r1 (SEC 2): 1.2.840.10045.3.1.7, DER.
constexpr std::array<std::uint8_t, 10> p256{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::array<CK_OBJECT_CLASS, 2> both_halves{CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};

using Id = std::array<std::uint8_t, 8>;

Id id_of(std::uint64_t number) {
    Id id{};
    for (auto byte = id.rbegin(); byte != id.rend(); ++byte, number >>= 8)
        *byte = static_cast<std::uint8_t>(number);
    return id;
}

std::uint64_t number_of(Bytes id) {
    std::uint64_t number = 0;
    for (const std::uint8_t byte : id)
        number = number << 8 | byte;
    return number;
}

std::string_view label_of(Use use) {
    switch (use) {
        case Use::root:
            return "stekd root";
        case Use::authority:
            return "stekd authority";
        case Use::signing:
            return "stekd signing";
        case Use::sealing:
            return "stekd sealing";
        case Use::pre_key:
            return "stekd pre-key";
    }
    return {};
}

std::string name_of(Use use, std::uint64_t number) {
    return "key \"" + std::string(label_of(use)) + "\" " + std::to_string(number);
}

bool signs(Use use) {
    return use == Use::root || use == Use::authority || use == Use::signing;
}

Attributes public_template(Use use, const Id& id) {
    Attributes key;
    key.number(CKA_CLASS, CKO_PUBLIC_KEY)
        .number(CKA_KEY_TYPE, CKK_EC)
        .bytes(CKA_EC_PARAMS, p256)
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, false)
        .bytes(CKA_ID, id)
        .text(CKA_LABEL, label_of(use))
        .flag(CKA_VERIFY, signs(use))
        .flag(CKA_ENCRYPT, false)
        .flag(CKA_VERIFY_RECOVER, false)
        .flag(CKA_WRAP, false)
        .flag(CKA_DERIVE, false);
    return key;
}

Attributes private_template(Use use, const Id& id) {
    Attributes key;
    key.number(CKA_CLASS, CKO_PRIVATE_KEY)
        .number(CKA_KEY_TYPE, CKK_EC)
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, true)
        .bytes(CKA_ID, id)
        .text(CKA_LABEL, label_of(use))
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_SIGN, signs(use))
        .flag(CKA_DERIVE, !signs(use))
        .flag(CKA_DECRYPT, false)
        .flag(CKA_SIGN_RECOVER, false)
        .flag(CKA_UNWRAP, false)
        .mechanisms({signs(use) ? CKM_ECDSA : CKM_ECDH1_DERIVE})
        .flag(CKA_COPYABLE, false)
        .flag(CKA_MODIFIABLE, false);
    return key;
}

std::vector<CK_OBJECT_HANDLE> halves(pkcs11::Session& session, CK_OBJECT_CLASS half, Use use,
                                     std::uint64_t number) {
    Attributes pattern;
    pattern.number(CKA_CLASS, half)
        .flag(CKA_TOKEN, true)
        .text(CKA_LABEL, label_of(use))
        .bytes(CKA_ID, id_of(number));
    return session.find(pattern);
}

TokenKeyError failed(const std::string& what) {
    const auto code = ERR_peek_last_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    return TokenKeyError("libp11: " + what + (reason != nullptr ? ": " + std::string(reason) : ""));
}

}  // namespace

std::span<const pkcs11::NeededMechanism> token_key_mechanisms() noexcept {
    static constexpr std::array<pkcs11::NeededMechanism, 3> needed{{
        {CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR},
        {CKM_ECDSA, CKF_SIGN},
        {CKM_ECDH1_DERIVE, CKF_DERIVE},
    }};
    return needed;
}

// CKA_EC_POINT is the point in a DER OCTET STRING (PKCS#11 2.40 mechanisms, section 2.3.3).
std::optional<hpke::Point> read_public_half(pkcs11::Session& session, Use use, std::uint64_t number) {
    const auto found = halves(session, CKO_PUBLIC_KEY, use, number);
    if (found.size() != 1)
        return {};
    constexpr std::array<std::uint8_t, 2> octet_string{0x04, 65};
    hpke::Point point{};
    const auto der = session.attribute(found.front(), CKA_EC_POINT);
    if (!der || der->size() != octet_string.size() + point.size() ||
        !std::equal(octet_string.begin(), octet_string.end(), der->begin()))
        return {};
    std::copy(der->begin() + octet_string.size(), der->end(), point.begin());
    return point;
}

/// libp11's context and its view of the token. The list of slots is left to leak: to release it would close
/// our sessions (see token_keys.hpp). It is small, and made once for each time that the tokens are opened.
struct TokenKeys::Libp11 {
    explicit Libp11(const pkcs11::Token& token) : context(PKCS11_CTX_new()) {
        ERR_clear_error();
        const auto& module = token.module().library().path();
        if (context == nullptr || PKCS11_CTX_load(context, module.c_str()) != 0)
            throw given_up("cannot load " + module);
        if (PKCS11_enumerate_slots(context, &slots, &count) != 0)
            throw given_up("cannot list the slots of " + module);
        for (unsigned i = 0; i < count; ++i)
            if (PKCS11_get_slotid_from_slot(&slots[i]) == token.slot())
                slot = &slots[i];
        if (slot == nullptr || slot->token == nullptr)
            throw given_up("does not see token " + token.label());
    }
    Libp11(const Libp11&) = delete;
    Libp11& operator=(const Libp11&) = delete;
    ~Libp11() { PKCS11_CTX_free(context); }

    [[nodiscard]] hpke::KeyPtr find(std::string_view label, const Id& id) const {
        ERR_clear_error();
        PKCS11_KEY* keys = nullptr;
        unsigned number = 0;
        if (PKCS11_enumerate_keys(slot->token, &keys, &number) != 0)
            throw failed("cannot list the keys of token " + std::string(slot->token->label));
        const auto* const end = keys + number;
        auto* const found = std::find_if(keys, keys + number, [&](const PKCS11_KEY& key) {
            return key.label != nullptr && label == key.label &&
                   std::ranges::equal(std::span(key.id, key.id_len), id);
        });
        return hpke::KeyPtr(found == end ? nullptr : PKCS11_get_private_key(found));
    }

    /// The destructor does not run after a constructor that throws.
    TokenKeyError given_up(const std::string& what) {
        auto error = failed(what);
        if (context != nullptr)
            PKCS11_CTX_free(context);
        return error;
    }

    PKCS11_CTX* context;
    PKCS11_SLOT* slots = nullptr;
    unsigned count = 0;
    PKCS11_SLOT* slot = nullptr;
};

TokenKeys::TokenKeys(pkcs11::Session& session) : session_(&session) {
    session.token().require(token_key_mechanisms());
    libp11_ = std::make_unique<Libp11>(session.token());
}

TokenKeys::~TokenKeys() = default;

TokenKey TokenKeys::make(Use use, std::uint64_t number) {
    for (const auto half : both_halves)
        if (!halves(*session_, half, use, number).empty())
            throw std::logic_error(name_of(use, number) + " is there already");
    const Id id = id_of(number);
    Attributes public_key = public_template(use, id), private_key = private_template(use, id);
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    session_->generate_key_pair(mechanism, public_key, private_key);
    auto made = find(use, number);
    if (!made)
        throw TokenKeyError(name_of(use, number) + " was made, but libp11 does not find it");
    return std::move(*made);
}

std::optional<TokenKey> TokenKeys::find(Use use, std::uint64_t number) {
    const auto point = read_public_half(*session_, use, number);
    const auto private_half = halves(*session_, CKO_PRIVATE_KEY, use, number);
    if (!point || private_half.size() != 1 || !is_whole(private_half.front()))
        return {};
    auto key = libp11_->find(label_of(use), id_of(number));
    if (!key)
        throw failed("does not give " + name_of(use, number));
    return TokenKey{std::move(key), *point};
}

std::vector<std::uint64_t> TokenKeys::numbers(Use use) {
    std::set<std::uint64_t> found;
    for (const auto half : both_halves) {
        Attributes pattern;
        pattern.number(CKA_CLASS, half).flag(CKA_TOKEN, true).text(CKA_LABEL, label_of(use));
        for (const auto object : session_->find(pattern))
            if (const auto id = session_->attribute(object, CKA_ID); id && id->size() == Id{}.size())
                found.insert(number_of(*id));
    }
    return {found.begin(), found.end()};
}

// Private first: a kill in between leaves a public half, which opens nothing and is still listed.
void TokenKeys::destroy(Use use, std::uint64_t number) {
    for (const auto half : both_halves)
        for (const auto object : halves(*session_, half, use, number))
            session_->destroy(object);
}

// SoftHSM gives a private key its label first and its value last, together with CKA_LOCAL (seen with a kill
// in between). Every token has that set for what was made in it: a key that somebody has brought is none.
bool TokenKeys::is_whole(CK_OBJECT_HANDLE private_half) {
    const auto made_here = session_->attribute(private_half, CKA_LOCAL);
    return !made_here || (made_here->size() == sizeof(CK_BBOOL) && made_here->front() == CK_TRUE);
}

}  // namespace stek::fleet
