// What the enforcement probe tries things with: small Cryptoki acts that say whether they got what they
// wanted, each in a session of its own.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/rsa_spki.hpp"
#include "provider/ticket_token.hpp"

#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace stek::probe {

/// `value` under the public key by OpenSSL; `padding` is RSA_PKCS1_OAEP_PADDING and its like.
std::vector<std::uint8_t> seal_to(EVP_PKEY* key, Bytes value, int padding, OaepHash hash);

/// A template with one attribute replaced by a value of the same size.
template <class T>
pkcs11::Attributes changed(pkcs11::Attributes key, CK_ATTRIBUTE_TYPE type, T value) {
    for (CK_ULONG i = 0; i < key.size(); ++i)
        if (key.data()[i].type == type && key.data()[i].ulValueLen == sizeof value)
            std::memcpy(key.data()[i].pValue, &value, sizeof value);
    return key;
}

/// The template with the label by which Attempts knows its own. For every token object that an attempt makes.
pkcs11::Attributes marked(pkcs11::Attributes key);

// These throw pkcs11::Error where the token refuses, and return true otherwise, unless said.

/// An AES-256 session key whose value anyone may read.
CK_OBJECT_HANDLE helper_key(pkcs11::Session& session);
/// Whether the flag reads back as `value`.
bool has(pkcs11::Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value);
bool readable(pkcs11::Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
bool set(pkcs11::Session& session, CK_OBJECT_HANDLE object, pkcs11::Attributes changes);
bool encrypts(pkcs11::Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM mechanism);
bool encrypts_gcm(pkcs11::Session& session, CK_OBJECT_HANDLE key);
bool decrypts(pkcs11::Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM& mechanism, Bytes in);
bool signs(pkcs11::Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type);
bool derives(pkcs11::Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type);

/// Runs attempts, notes what became of them, and removes what they left in the token, nobody else's objects.
class Attempts {
  public:
    using Act = std::function<bool(pkcs11::Session&)>;
    explicit Attempts(pkcs11::Session& session) : session_(session) {}
    void add(std::string what, const Act& act);
    [[nodiscard]] std::vector<ProbeResult> take() noexcept { return std::move(results_); }

  private:
    std::set<CK_OBJECT_HANDLE> left_behind();
    pkcs11::Session& session_;
    std::vector<ProbeResult> results_;
};

}  // namespace stek::probe
