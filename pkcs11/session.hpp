// A session with a token, and the calls that stekd makes in one (PKCS#11 2.40, section 5).
#pragma once

#include "pkcs11/attributes.hpp"
#include "pkcs11/error.hpp"
#include "pkcs11/token.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace stek::pkcs11 {

enum class Access { read_only, read_write };

struct KeyPair {
    CK_OBJECT_HANDLE public_key;
    CK_OBJECT_HANDLE private_key;
};

/// One C_OpenSession. Closes itself, unless the process is a fork of the one that opened it. A session is for
/// one thread at a time. After any error of a cryptographic call the session is spent(): SoftHSM then answers
/// CKR_OPERATION_ACTIVE for ever; close it and open another. All calls throw Error unless said otherwise.
class Session {
  public:
    Session(std::shared_ptr<Token> token, Access access);
    Session(Session&& other) noexcept;
    Session& operator=(Session&& other) noexcept;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    [[nodiscard]] Token& token() const noexcept { return *token_; }
    [[nodiscard]] const std::shared_ptr<Token>& shared_token() const noexcept { return token_; }
    [[nodiscard]] CK_SESSION_HANDLE handle() const noexcept { return handle_; }
    [[nodiscard]] bool spent() const noexcept { return spent_; }
    /// Closes it now, its session objects with it. C_CloseSession's answer: not CKR_OK, it can be tried
    /// again.
    CK_RV close() noexcept;
    /// Forgets the session without closing it, for when the module may not be called.
    void abandon() noexcept { handle_ = CK_INVALID_HANDLE; }

    CK_OBJECT_HANDLE generate_key(CK_MECHANISM& mechanism, Attributes& key);
    KeyPair generate_key_pair(CK_MECHANISM& mechanism, Attributes& public_key, Attributes& private_key);
    CK_OBJECT_HANDLE derive(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE base, Attributes& key);
    CK_OBJECT_HANDLE unwrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes wrapped,
                            Attributes& unwrapped);
    std::vector<std::uint8_t> wrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key);
    CK_OBJECT_HANDLE create(Attributes& object);
    CK_OBJECT_HANDLE copy(CK_OBJECT_HANDLE object, Attributes& changes);
    void destroy(CK_OBJECT_HANDLE object);
    std::vector<CK_OBJECT_HANDLE> find(Attributes& pattern);
    /// One attribute's bytes; nothing if the token will not tell (sensitive) or does not know it.
    std::optional<std::vector<std::uint8_t>> attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    std::optional<CK_ULONG> number_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    /// As attribute(), into wiped memory (CKA_VALUE of the few session keys that are meant to be read).
    Secret secret_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    void random(std::span<std::uint8_t> out);

    /// C_EncryptInit + C_Encrypt in one part. Writes up to out.size() bytes, returns how many. Does not
    /// throw: the ticket path calls it. On failure `rv` says why and nothing may be used of `out`.
    std::size_t encrypt(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in, std::span<std::uint8_t> out,
                        CK_RV& rv) noexcept;
    std::size_t decrypt(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in, std::span<std::uint8_t> out,
                        CK_RV& rv) noexcept;

  private:
    CK_FUNCTION_LIST& functions(const char* call);  ///< throws in a fork of the process that opened it
    void checked(const char* call, CK_RV rv);
    std::optional<CK_ULONG> attribute_size(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    std::size_t read_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, std::span<std::uint8_t> out);
    std::size_t crypt(CK_C_EncryptInit CK_FUNCTION_LIST::*init, CK_C_Encrypt CK_FUNCTION_LIST::*run,
                      CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in, std::span<std::uint8_t> out,
                      CK_RV& rv) noexcept;
    std::shared_ptr<Token> token_;
    CK_SESSION_HANDLE handle_ = CK_INVALID_HANDLE;
    bool spent_ = false;
};

/// A session object (or a token object that must not stay): destroyed with the guard, unless released.
class ScopedObject {
  public:
    ScopedObject(Session& session, CK_OBJECT_HANDLE handle) noexcept : session_(&session), handle_(handle) {}
    ScopedObject(ScopedObject&& other) noexcept : session_(other.session_), handle_(other.release()) {}
    ScopedObject& operator=(ScopedObject&&) = delete;
    ScopedObject(const ScopedObject&) = delete;
    ScopedObject& operator=(const ScopedObject&) = delete;
    ~ScopedObject();
    [[nodiscard]] CK_OBJECT_HANDLE get() const noexcept { return handle_; }
    CK_OBJECT_HANDLE release() noexcept;

  private:
    Session* session_;
    CK_OBJECT_HANDLE handle_;
};

}  // namespace stek::pkcs11
