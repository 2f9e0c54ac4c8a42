// The steps, all by CKM_AES_CBC_ENCRYPT_DATA (PKCS#11 2.40 current mechanisms, 2.15) with a zero IV over 32
// bytes, so two CBC blocks; sizes in bytes. h(x) = SHA-256("stekd v1 " + x), the text in ASCII.
//
//   from      data              child            size  fate
//   C  (32)   h("chain")        C', next epoch's   32  token object (vault.cpp)
//   C  (32)   h("mix " + r)     M                  32  session object; r in decimal without leading zeros
//   M  (32)   H itself          S                  32  session object
//   S  (32)   h("seal")         K, AES-256         32  session object, extractable only to be wrapped
//   S  (32)   h("name")         key name           16  read out: the first 16 of 32 bytes; public
//   S  (32)   h("admission")    admission key      32  read out; secret, but opens no ticket
//
// and once, for a location of several vaults (daemon/fleet/ceremony.cpp):
//
//   seed (32) h("chain")        C                  32  token object; the seed is gone
//   C  (32)   h("check")        check              16  read out: the first 16 of 32 bytes; public
//
// No two steps from the same key use the same data, and M takes nothing but H.
#include "provider/schedule.hpp"

#include "provider/rsa_spki.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <openssl/evp.h>

namespace stek {

namespace {

using pkcs11::Attributes;
using pkcs11::ScopedObject;
using pkcs11::Session;

constexpr std::size_t step_size = 32;

std::array<std::uint8_t, step_size> label_data(std::string_view label) {
    const std::string text = "stekd v1 " + std::string(label);
    std::array<std::uint8_t, step_size> digest{};
    std::size_t size = 0;
    if (EVP_Q_digest(private_libctx(), "SHA256", nullptr, text.data(), text.size(), digest.data(), &size) !=
        1)
        throw std::bad_alloc();
    return digest;
}

ScopedObject derive_over(Session& session, CK_OBJECT_HANDLE key, Bytes data, Attributes& child) {
    SecretArray<step_size> copy;  // Cryptoki wants it writable; in one step it is the hourly key
    std::copy(data.begin(), data.end(), copy.data());
    CK_AES_CBC_ENCRYPT_DATA_PARAMS params{};
    params.pData = copy.data();
    params.length = step_size;
    CK_MECHANISM mechanism{CKM_AES_CBC_ENCRYPT_DATA, &params, sizeof(params)};
    return {session, session.derive(mechanism, key, child)};
}

/// SoftHSM takes a usage flag that is left out as true (measured), so each is given.
Attributes& no_usage_but(Attributes& key, CK_ATTRIBUTE_TYPE allowed) {
    for (const CK_ATTRIBUTE_TYPE usage :
         {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE})
        key.flag(usage, usage == allowed);
    return key;
}

constexpr CK_ATTRIBUTE_TYPE no_usage = CK_UNAVAILABLE_INFORMATION;

Attributes secret_session_key(CK_KEY_TYPE type, bool sensitive, bool extractable, CK_ATTRIBUTE_TYPE usage) {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, type)
        .number(CKA_VALUE_LEN, step_size)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, sensitive)
        .flag(CKA_EXTRACTABLE, extractable);
    no_usage_but(key, usage);
    return key;
}

std::vector<std::uint8_t> wrap_to(Session& session, Bytes spki, OaepHash oaep, CK_OBJECT_HANDLE key) {
    const ScopedObject wrapping = import_rsa_public(session, spki);
    OaepMechanism mechanism(oaep);
    return session.wrap(mechanism.get(), wrapping.get(), key);
}

}  // namespace

Attributes deriving_key_template() {
    Attributes key = secret_session_key(CKK_AES, true, false, CKA_DERIVE);
    key.mechanisms({CKM_AES_CBC_ENCRYPT_DATA});
    return key;
}

Attributes shareable_key_template() {
    Attributes key = secret_session_key(CKK_AES, true, true, CKA_DERIVE);
    key.mechanisms({CKM_AES_CBC_ENCRYPT_DATA});
    return key;
}

ScopedObject derive_step_as(Session& session, CK_OBJECT_HANDLE key, std::string_view label,
                            Attributes& child) {
    return derive_over(session, key, label_data(label), child);
}

ScopedObject derive_step(Session& session, CK_OBJECT_HANDLE key, std::string_view label) {
    Attributes child = deriving_key_template();
    child.flag(CKA_TOKEN, false);
    return derive_step_as(session, key, label, child);
}

/// The only values that leave as they are: those that are not keys to tickets.
Secret derive_readable(Session& session, CK_OBJECT_HANDLE key, std::string_view label) {
    Attributes child = secret_session_key(CKK_GENERIC_SECRET, false, true, no_usage);
    child.flag(CKA_TOKEN, false);
    const ScopedObject object = derive_step_as(session, key, label, child);
    Secret value = session.secret_attribute(object.get(), CKA_VALUE);
    if (value.size() != step_size)
        throw pkcs11::TokenError("token " + session.token().label() + " does not show a key of " +
                                 std::to_string(step_size) + " bytes that is meant to be read");
    return value;
}

void derive_stek(Session& vault, CK_OBJECT_HANDLE chain_key, std::uint32_t revision, Bytes hourly_key,
                 Bytes spki, WrappedStek& out, std::optional<OaepHash> oaep) {
    WrappedSteks made;
    derive_steks(vault, chain_key, revision, hourly_key, {&spki, 1}, made, oaep);
    out.name = made.name;
    out.oaep = made.oaep;
    out.wrapped_key = std::move(made.wrapped_keys.front());
    std::ranges::copy(made.admission_key.bytes(), out.admission_key.data());
}

void derive_steks(Session& vault, CK_OBJECT_HANDLE chain_key, std::uint32_t revision, Bytes hourly_key,
                  std::span<const Bytes> spkis, WrappedSteks& out, std::optional<OaepHash> oaep) {
    if (hourly_key.size() != hourly_key_size)
        throw std::invalid_argument("hourly key: " + std::to_string(hourly_key.size()) +
                                    " bytes, 32 are needed");
    Attributes child = deriving_key_template();
    child.flag(CKA_TOKEN, false);
    const ScopedObject mixed = derive_step(vault, chain_key, "mix " + std::to_string(revision));
    const ScopedObject secret = derive_over(vault, mixed.get(), hourly_key, child);

    const Secret name = derive_readable(vault, secret.get(), "name");
    const Secret admission = derive_readable(vault, secret.get(), "admission");

    Attributes seal = secret_session_key(CKK_AES, true, true, no_usage);
    seal.flag(CKA_TOKEN, false);
    const ScopedObject stek = derive_step_as(vault, secret.get(), "seal", seal);

    out.oaep = oaep ? *oaep : ticket_oaep_hash(vault.shared_token());
    out.wrapped_keys.clear();
    for (const Bytes spki : spkis)
        out.wrapped_keys.push_back(wrap_to(vault, spki, out.oaep, stek.get()));
    std::copy_n(name.data(), out.name.size(), out.name.begin());
    std::copy_n(admission.data(), out.admission_key.size(), out.admission_key.data());
}

}  // namespace stek
