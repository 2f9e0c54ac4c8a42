#include "pkcs11/attributes.hpp"

#include <cstring>

#include <openssl/crypto.h>

namespace stek::pkcs11 {

Attributes::~Attributes() {
    for (auto& value : storage_) {
        OPENSSL_cleanse(value.data(), value.size());
    }
}

// By swapping: a defaulted assignment would free the old values without wiping them.
Attributes& Attributes::operator=(Attributes&& other) noexcept {
    list_.swap(other.list_);
    storage_.swap(other.storage_);
    inner_.swap(other.inner_);
    return *this;
}

void Attributes::add(CK_ATTRIBUTE_TYPE type, const void* value, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(value);
    auto& stored = storage_.emplace_back(first, first + size);
    list_.push_back({type, stored.data(), static_cast<CK_ULONG>(size)});
}

Attributes& Attributes::flag(CK_ATTRIBUTE_TYPE type, bool value) {
    const CK_BBOOL byte = value ? CK_TRUE : CK_FALSE;
    add(type, &byte, sizeof byte);
    return *this;
}

Attributes& Attributes::number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
    add(type, &value, sizeof value);
    return *this;
}

Attributes& Attributes::bytes(CK_ATTRIBUTE_TYPE type, Bytes value) {
    add(type, value.data(), value.size());
    return *this;
}

Attributes& Attributes::text(CK_ATTRIBUTE_TYPE type, std::string_view value) {
    add(type, value.data(), value.size());
    return *this;
}

Attributes& Attributes::mechanisms(std::initializer_list<CK_MECHANISM_TYPE> allowed) {
    add(CKA_ALLOWED_MECHANISMS, allowed.begin(), allowed.size() * sizeof(CK_MECHANISM_TYPE));
    return *this;
}

Attributes& Attributes::nested(CK_ATTRIBUTE_TYPE type, Attributes inner) {
    Attributes& kept = inner_.emplace_back(std::move(inner));
    list_.push_back({type, kept.data(), static_cast<CK_ULONG>(kept.size() * sizeof(CK_ATTRIBUTE))});
    return *this;
}

}  // namespace stek::pkcs11
