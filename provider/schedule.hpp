// The key schedule: from the location's chain key and the hourly key to a STEK, inside the vault token.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/key_ring.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stek {

inline constexpr std::size_t hourly_key_size = 32;

/// D(k, label): C_DeriveKey with CKM_AES_CBC_ENCRYPT_DATA, IV zero, over SHA-256("stekd v1 " + label). The
/// child is a session object fit for further derivation only (AES-256, sensitive, not extractable).
pkcs11::ScopedObject derive_step(pkcs11::Session& session, CK_OBJECT_HANDLE key, std::string_view label);

/// derive_step(), the child made by `child` (a whole template for C_DeriveKey, session object).
pkcs11::ScopedObject derive_step_as(pkcs11::Session& session, CK_OBJECT_HANDLE key, std::string_view label,
                                    pkcs11::Attributes& child);

/// The template of a key that only derives: every chain key, M and S. The caller adds CKA_TOKEN, CKA_ID...
pkcs11::Attributes deriving_key_template();

/// The same for one that can also be wrapped: the seed of a chain that several vaults are to have.
pkcs11::Attributes shareable_key_template();

/// What a key derives by that label, read out: 32 bytes, of which the token keeps nothing. Not for what opens
/// tickets.
Secret derive_readable(pkcs11::Session& session, CK_OBJECT_HANDLE key, std::string_view label);

/// A STEK as the ring record carries it.
struct WrappedStek {
    KeyName name;
    SecretArray<admission_key_size> admission_key;
    OaepHash oaep;
    std::vector<std::uint8_t> wrapped_key;
};

/// One STEK under several public keys, in the order that they were given.
struct WrappedSteks {
    KeyName name{};
    SecretArray<admission_key_size> admission_key;
    OaepHash oaep = OaepHash::sha1;
    std::vector<std::vector<std::uint8_t>> wrapped_keys;
};

/// chain key --"mix" r--> M --H--> S; S --"seal"--> K, "name", "admission". K leaves the token only wrapped
/// to `spki` (DER SubjectPublicKeyInfo, RSA) by OAEP with `oaep`, which the ticket token must be able to
/// unwrap; by default the best hash that the vault has. Everything on the way is a session object that is
/// gone on return. `hourly_key` is 32 bytes. Throws pkcs11::Error, std::invalid_argument.
void derive_stek(pkcs11::Session& vault, CK_OBJECT_HANDLE chain_key, std::uint32_t revision, Bytes hourly_key,
                 Bytes spki, WrappedStek& out, std::optional<OaepHash> oaep = {});

/// The same for any number of public keys: K is derived once and wrapped to each. All or nothing: a key that
/// is none, or that the vault will not wrap to, keeps the STEK from the others too.
void derive_steks(pkcs11::Session& vault, CK_OBJECT_HANDLE chain_key, std::uint32_t revision,
                  Bytes hourly_key, std::span<const Bytes> spkis, WrappedSteks& out,
                  std::optional<OaepHash> oaep = {});

}  // namespace stek
