// What the codecs of the fleet's bodies share; not for those who use them.
#pragma once

#include "daemon/error_queue.hpp"
#include "daemon/fleet/frame.hpp"
#include "daemon/hpke_error.hpp"
#include "provider/octets.hpp"

#include <algorithm>
#include <string>

namespace stek::fleet {

/// Sizes of bodies and of their parts, as their tables have them.
namespace layout {
inline constexpr std::size_t name = 64;
inline constexpr std::size_t request = 260;
inline constexpr std::size_t list_head = 84, party = 264;
inline constexpr std::size_t pre_key = 77;
inline constexpr std::size_t bundle_sealed_head = 92;  ///< what goes into the AAD of each share
inline constexpr std::size_t bundle_head = 96, share = 121;
inline constexpr std::size_t pair_head = 96, largest_spki = 1100;
inline constexpr std::size_t record_sealed_head = 156;  ///< what goes into the admission key's AAD
inline constexpr std::size_t record_head = 269;
inline constexpr std::size_t ceremony_spki = 422;  ///< of RSA-3072
inline constexpr std::size_t ceremony_offer = 508, ceremony_share = 494;
}  // namespace layout

/// Throws the error, which names the kind, unless there is nothing to say.
template <class Error>
void refuse_if(Kind kind, const std::string& why) {
    if (!why.empty())
        throw Error(std::string(name_of(kind)) + ": " + why);
}

struct BodyFaults {
    Kind kind;
    [[noreturn]] void cut_short() const {
        throw FrameError(std::string(name_of(kind)) + ": ends within a field");
    }
    [[noreturn]] void unclean_text() const {
        throw FrameError(std::string(name_of(kind)) + ": something behind the end of a text");
    }
};

class BodyScanner : public octets::Scanner<BodyFaults> {
  public:
    BodyScanner(Bytes in, Kind kind) : Scanner(in, BodyFaults{kind}), kind_(kind) {}
    template <std::size_t Size>
    std::array<std::uint8_t, Size> array() {
        std::array<std::uint8_t, Size> out;
        into(out);
        return out;
    }
    template <std::unsigned_integral Number>
    void zero() {
        if (number<Number>() != 0)
            throw FrameError(std::string(name_of(kind_)) + ": something where there is nothing yet");
    }
    /// The number of items of `size` bytes each that are all there is behind it; before room is made for
    /// them.
    std::size_t count(std::size_t most, std::size_t size) {
        const std::size_t items = number<std::uint32_t>();
        if (items > most)
            throw FrameError(std::string(name_of(kind_)) + ": " + std::to_string(items) +
                             " items, more than " + std::to_string(most));
        if (rest().size() != items * size)
            throw FrameError(std::string(name_of(kind_)) + ": not the size of its " + std::to_string(items) +
                             " items");
        return items;
    }
    void end() const {
        if (!at_end())
            throw FrameError(std::string(name_of(kind_)) + ": something behind its end");
    }

  private:
    Kind kind_;
};

inline bool is_zero(Bytes bytes) noexcept {
    return std::ranges::all_of(bytes, [](std::uint8_t each) { return each == 0; });
}

/// It may be a point of P-256. To know costs some 50 us, which for the keys of a list or a bundle would be
/// 50 ms in each thousand; it is found out when one is used, by hpke::seal(), hpke::open() or verifies().
inline bool may_be_point(const Point& point) noexcept {
    return point.front() == 0x04;
}

inline bool is_point(const Point& point) {
    const EmptyQueue queue;
    try {
        return hpke::parse_point(point, "a key") != nullptr;
    } catch (const hpke::Error&) {
        return false;
    }
}

}  // namespace stek::fleet
