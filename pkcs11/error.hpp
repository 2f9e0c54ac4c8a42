// What a Cryptoki call, or the way to one, failed with.
#pragma once

#include "pkcs11/cryptoki.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace stek::pkcs11 {

/// The standard's name of a return value ("CKR_PIN_INCORRECT"), or "CKR_VENDOR_DEFINED+0x1", or "CKR_0x123".
std::string rv_name(CK_RV rv);

/// The standard's name of a mechanism ("CKM_AES_GCM"), or "CKM_0x1234".
std::string mechanism_name(CK_MECHANISM_TYPE type);

/// A failed call. what() reads "C_Login: CKR_PIN_INCORRECT (0xA0), token stek-vault"; it never holds a
/// secret.
class Error : public std::runtime_error {
  public:
    Error(std::string_view call, CK_RV rv, std::string_view token = {});
    [[nodiscard]] CK_RV rv() const noexcept { return rv_; }

  private:
    CK_RV rv_;
};

/// No usable token: not found, not unique, uninitialised, or without a mechanism that stekd needs. what()
/// says which.
class TokenError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A URI, PIN source or module path that cannot be used; what() names it and what is allowed.
class UriError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A module path that names no module that could be used, now or later.
class ModuleError : public UriError {
  public:
    using UriError::UriError;
};

/// The token will not have this PIN: to try the same one again can only do harm, for real tokens lock.
bool refuses_pin(CK_RV rv) noexcept;

/// Throws Error unless rv is CKR_OK.
void check(std::string_view call, CK_RV rv, std::string_view token = {});

}  // namespace stek::pkcs11
