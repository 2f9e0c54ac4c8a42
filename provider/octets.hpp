// Fields of binary formats, one behind the other; numbers are big-endian.
#pragma once

#include "pkcs11/secret.hpp"

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stek::octets {

/// Fills `out`, which has room for all that is written.
class Writer {
  public:
    explicit Writer(std::span<std::uint8_t> out) noexcept : rest_(out) {}
    template <std::integral Number>
    void number(Number value) noexcept {
        auto bits = static_cast<std::uint64_t>(value);
        for (std::size_t i = sizeof(Number); i-- > 0; bits >>= 8)
            rest_[i] = static_cast<std::uint8_t>(bits);
        rest_ = rest_.subspan(sizeof(Number));
    }
    void bytes(Bytes value) noexcept {
        std::copy(value.begin(), value.end(), rest_.begin());
        rest_ = rest_.subspan(value.size());
    }
    /// No longer than `size`; zero bytes behind it.
    void padded(std::string_view value, std::size_t size) noexcept {
        std::fill_n(std::copy(value.begin(), value.end(), rest_.begin()), size - value.size(), 0);
        rest_ = rest_.subspan(size);
    }

  private:
    std::span<std::uint8_t> rest_;
};

/// Never reads past `in`. `Faults` throws the format's own errors: cut_short() if a field ends beyond the
/// input, unclean_text() if something but zero bytes is behind a padded text.
template <class Faults>
class Scanner {
  public:
    explicit Scanner(Bytes in, Faults faults = {}) : rest_(in), faults_(faults) {}
    Bytes bytes(std::size_t size) {
        if (size > rest_.size())
            faults_.cut_short();
        const Bytes taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    template <std::integral Number>
    Number number() {
        std::uint64_t bits = 0;
        for (const std::uint8_t byte : bytes(sizeof(Number)))
            bits = bits << 8 | byte;
        return static_cast<Number>(bits);
    }
    void into(std::span<std::uint8_t> out) {
        const Bytes taken = bytes(out.size());
        std::copy(taken.begin(), taken.end(), out.begin());
    }
    std::string padded(std::size_t size) {
        const Bytes field = bytes(size);
        const auto end = std::find(field.begin(), field.end(), 0);
        if (std::any_of(end, field.end(), [](std::uint8_t byte) { return byte != 0; }))
            faults_.unclean_text();
        return {field.begin(), end};
    }
    [[nodiscard]] Bytes rest() const noexcept { return rest_; }
    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

  private:
    Bytes rest_;
    Faults faults_;
};

}  // namespace stek::octets
