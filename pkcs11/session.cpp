#include "pkcs11/session.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace stek::pkcs11 {
namespace {

/// Cryptoki takes its inputs as pointers to non-const; it does not write through them.
CK_BYTE* input(Bytes bytes) noexcept {
    return const_cast<CK_BYTE*>(bytes.data());
}

}  // namespace

Session::Session(std::shared_ptr<Token> token, Access access) : token_(std::move(token)) {
    const CK_FLAGS flags = CKF_SERIAL_SESSION | (access == Access::read_write ? CKF_RW_SESSION : 0);
    CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    if (token_->module().usable_here()) {
        rv = token_->module().functions().C_OpenSession(token_->slot(), flags, nullptr, nullptr, &handle_);
    }
    check("C_OpenSession", rv, token_->label());
}

Session::Session(Session&& other) noexcept
    : token_(std::move(other.token_)),
      handle_(std::exchange(other.handle_, CK_INVALID_HANDLE)),
      spent_(other.spent_) {}

Session& Session::operator=(Session&& other) noexcept {
    if (this != &other) {
        Session old(std::move(*this));
        token_ = std::move(other.token_);
        handle_ = std::exchange(other.handle_, CK_INVALID_HANDLE);
        spent_ = other.spent_;
    }
    return *this;
}

Session::~Session() {
    close();
}

CK_RV Session::close() noexcept {
    if (handle_ == CK_INVALID_HANDLE) {
        return CKR_OK;
    }
    if (!token_->module().usable_here()) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    const CK_RV rv = token_->module().functions().C_CloseSession(handle_);
    if (rv == CKR_OK) {
        handle_ = CK_INVALID_HANDLE;
    }
    return rv;
}

CK_FUNCTION_LIST& Session::functions(const char* call) {
    if (!token_->module().usable_here()) {
        throw Error(call, CKR_CRYPTOKI_NOT_INITIALIZED, token_->label());
    }
    return token_->module().functions();
}

void Session::checked(const char* call, CK_RV rv) {
    if (rv != CKR_OK) {
        spent_ = true;
        throw Error(call, rv, token_->label());
    }
}

CK_OBJECT_HANDLE Session::generate_key(CK_MECHANISM& mechanism, Attributes& key) {
    static constexpr const char* call = "C_GenerateKey";
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    checked(call, functions(call).C_GenerateKey(handle_, &mechanism, key.data(), key.size(), &made));
    return made;
}

KeyPair Session::generate_key_pair(CK_MECHANISM& mechanism, Attributes& public_key, Attributes& private_key) {
    static constexpr const char* call = "C_GenerateKeyPair";
    KeyPair made{CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    checked(call, functions(call).C_GenerateKeyPair(handle_, &mechanism, public_key.data(), public_key.size(),
                                                    private_key.data(), private_key.size(), &made.public_key,
                                                    &made.private_key));
    return made;
}

CK_OBJECT_HANDLE Session::derive(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE base, Attributes& key) {
    static constexpr const char* call = "C_DeriveKey";
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    checked(call, functions(call).C_DeriveKey(handle_, &mechanism, base, key.data(), key.size(), &made));
    return made;
}

CK_OBJECT_HANDLE Session::unwrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes wrapped,
                                 Attributes& unwrapped) {
    static constexpr const char* call = "C_UnwrapKey";
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    checked(call, functions(call).C_UnwrapKey(handle_, &mechanism, key, input(wrapped), wrapped.size(),
                                              unwrapped.data(), unwrapped.size(), &made));
    return made;
}

std::vector<std::uint8_t> Session::wrap(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE wrapping,
                                        CK_OBJECT_HANDLE key) {
    static constexpr const char* call = "C_WrapKey";
    constexpr CK_ULONG largest = 65536;
    // Asked for the size alone, SoftHSM wraps as well. An RSA key of 8192 bits makes no more of it than this.
    std::vector<std::uint8_t> wrapped(1024);
    CK_ULONG size = wrapped.size();
    CK_RV rv = functions(call).C_WrapKey(handle_, &mechanism, wrapping, key, wrapped.data(), &size);
    if (rv == CKR_BUFFER_TOO_SMALL && size > wrapped.size() && size <= largest) {
        wrapped.resize(size);
        rv = functions(call).C_WrapKey(handle_, &mechanism, wrapping, key, wrapped.data(), &size);
    }
    checked(call, rv);
    wrapped.resize(std::min<std::size_t>(size, wrapped.size()));
    return {wrapped.begin(), wrapped.end()};
}

CK_OBJECT_HANDLE Session::create(Attributes& object) {
    static constexpr const char* call = "C_CreateObject";
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    checked(call, functions(call).C_CreateObject(handle_, object.data(), object.size(), &made));
    return made;
}

CK_OBJECT_HANDLE Session::copy(CK_OBJECT_HANDLE object, Attributes& changes) {
    static constexpr const char* call = "C_CopyObject";
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    checked(call, functions(call).C_CopyObject(handle_, object, changes.data(), changes.size(), &made));
    return made;
}

void Session::destroy(CK_OBJECT_HANDLE object) {
    static constexpr const char* call = "C_DestroyObject";
    checked(call, functions(call).C_DestroyObject(handle_, object));
}

std::vector<CK_OBJECT_HANDLE> Session::find(Attributes& pattern) {
    static constexpr const char* call = "C_FindObjects";
    auto& cryptoki = functions(call);
    checked("C_FindObjectsInit", cryptoki.C_FindObjectsInit(handle_, pattern.data(), pattern.size()));
    std::vector<CK_OBJECT_HANDLE> found;
    CK_OBJECT_HANDLE batch[64];
    CK_ULONG count = 0;
    CK_RV rv;
    do {
        rv = cryptoki.C_FindObjects(handle_, batch, std::size(batch), &count);
        if (rv == CKR_OK) {
            found.insert(found.end(), batch, batch + std::min<CK_ULONG>(count, std::size(batch)));
        }
    } while (rv == CKR_OK && count > 0);
    const CK_RV end = cryptoki.C_FindObjectsFinal(handle_);
    checked(call, rv);
    checked("C_FindObjectsFinal", end);
    return found;
}

std::optional<CK_ULONG> Session::attribute_size(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    static constexpr const char* call = "C_GetAttributeValue";
    CK_ATTRIBUTE wanted{type, nullptr, 0};
    const CK_RV rv = functions(call).C_GetAttributeValue(handle_, object, &wanted, 1);
    if (rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID) {
        return std::nullopt;
    }
    checked(call, rv);
    return wanted.ulValueLen == CK_UNAVAILABLE_INFORMATION ? std::nullopt
                                                           : std::optional<CK_ULONG>(wanted.ulValueLen);
}

std::size_t Session::read_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                                    std::span<std::uint8_t> out) {
    static constexpr const char* call = "C_GetAttributeValue";
    CK_ATTRIBUTE wanted{type, out.data(), static_cast<CK_ULONG>(out.size())};
    checked(call, functions(call).C_GetAttributeValue(handle_, object, &wanted, 1));
    return std::min<std::size_t>(wanted.ulValueLen, out.size());
}

std::optional<std::vector<std::uint8_t>> Session::attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    const auto size = attribute_size(object, type);
    if (!size) {
        return std::nullopt;
    }
    std::vector<std::uint8_t> value(*size);
    if (!value.empty()) {
        value.resize(read_attribute(object, type, value));
    }
    return value;
}

std::optional<CK_ULONG> Session::number_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    const auto size = attribute_size(object, type);
    CK_ULONG number = 0;
    if (!size || *size != sizeof number) {
        return std::nullopt;
    }
    read_attribute(object, type, {reinterpret_cast<std::uint8_t*>(&number), sizeof number});
    return number;
}

Secret Session::secret_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    const auto size = attribute_size(object, type);
    if (!size) {
        throw Error("C_GetAttributeValue", CKR_ATTRIBUTE_SENSITIVE, token_->label());
    }
    Secret value(*size);
    if (!value.empty()) {
        value.truncate(read_attribute(object, type, value.span()));
    }
    return value;
}

void Session::random(std::span<std::uint8_t> out) {
    static constexpr const char* call = "C_GenerateRandom";
    checked(call, functions(call).C_GenerateRandom(handle_, out.data(), out.size()));
}

/// C_DecryptInit and C_Decrypt have the types of their counterparts.
std::size_t Session::crypt(CK_C_EncryptInit CK_FUNCTION_LIST::*init, CK_C_Encrypt CK_FUNCTION_LIST::*run,
                           CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in,
                           std::span<std::uint8_t> out, CK_RV& rv) noexcept {
    CK_ULONG size = out.size();
    if (token_->module().usable_here()) {
        auto& cryptoki = token_->module().functions();
        rv = (cryptoki.*init)(handle_, &mechanism, key);
        if (rv == CKR_OK) {
            rv = (cryptoki.*run)(handle_, input(in), in.size(), out.data(), &size);
        }
        if (rv == CKR_OK && size > out.size()) {
            rv = CKR_GENERAL_ERROR;
        }
    } else {
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    if (rv != CKR_OK) {
        spent_ = true;
        OPENSSL_cleanse(out.data(), out.size());
        return 0;
    }
    return size;
}

std::size_t Session::encrypt(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in,
                             std::span<std::uint8_t> out, CK_RV& rv) noexcept {
    return crypt(&CK_FUNCTION_LIST::C_EncryptInit, &CK_FUNCTION_LIST::C_Encrypt, mechanism, key, in, out, rv);
}

std::size_t Session::decrypt(CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key, Bytes in,
                             std::span<std::uint8_t> out, CK_RV& rv) noexcept {
    return crypt(&CK_FUNCTION_LIST::C_DecryptInit, &CK_FUNCTION_LIST::C_Decrypt, mechanism, key, in, out, rv);
}

ScopedObject::~ScopedObject() {
    if (handle_ != CK_INVALID_HANDLE) {
        try {
            session_->destroy(handle_);
        } catch (const std::exception&) {  // it goes with its session
        }
    }
}

CK_OBJECT_HANDLE ScopedObject::release() noexcept {
    return std::exchange(handle_, CK_INVALID_HANDLE);
}

}  // namespace stek::pkcs11
