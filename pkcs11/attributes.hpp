// PKCS#11 templates with storage of the right type behind each attribute (PKCS#11 2.40, section 2.3).
#pragma once

#include "pkcs11/cryptoki.hpp"
#include "pkcs11/secret.hpp"

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace stek::pkcs11 {

/// A template under construction. Values are copied in and stay at a stable address for the life of the
/// object; all are wiped at the end. Order is kept: SoftHSM wants CKA_COPYABLE=false, then
/// CKA_MODIFIABLE=false, last. Moves keep addresses; not copyable.
class Attributes {
  public:
    Attributes() = default;
    Attributes(Attributes&&) noexcept = default;
    Attributes& operator=(Attributes&& other) noexcept;
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;
    ~Attributes();

    Attributes& flag(CK_ATTRIBUTE_TYPE type, bool value);        ///< one byte, CK_BBOOL
    Attributes& number(CK_ATTRIBUTE_TYPE type, CK_ULONG value);  ///< CK_ULONG (classes, key types, lengths)
    Attributes& bytes(CK_ATTRIBUTE_TYPE type, Bytes value);
    Attributes& text(CK_ATTRIBUTE_TYPE type, std::string_view value);          ///< not terminated
    Attributes& mechanisms(std::initializer_list<CK_MECHANISM_TYPE> allowed);  ///< CKA_ALLOWED_MECHANISMS
    Attributes& nested(CK_ATTRIBUTE_TYPE type, Attributes inner);  ///< CKA_UNWRAP_TEMPLATE and its like

    [[nodiscard]] CK_ATTRIBUTE* data() noexcept { return list_.data(); }
    [[nodiscard]] CK_ULONG size() const noexcept { return list_.size(); }

  private:
    void add(CK_ATTRIBUTE_TYPE type, const void* value, std::size_t size);
    std::vector<CK_ATTRIBUTE> list_;
    std::deque<std::vector<std::uint8_t>> storage_;
    std::deque<Attributes> inner_;
};

}  // namespace stek::pkcs11
