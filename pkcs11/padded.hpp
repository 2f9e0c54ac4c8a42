// Cryptoki's fixed text fields: blank-padded, not terminated (PKCS#11 2.40, section 3.2).
#pragma once

#include <cstddef>
#include <string>

namespace stek::pkcs11 {

/// The field without its padding. Some modules pad with zeros.
template <std::size_t N>
std::string unpadded(const unsigned char (&field)[N]) {
    std::size_t size = N;
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == 0)) {
        --size;
    }
    return {reinterpret_cast<const char*>(field), size};
}

}  // namespace stek::pkcs11
