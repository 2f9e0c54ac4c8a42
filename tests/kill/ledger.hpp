// What all the rings of a test's life must agree on.
#pragma once

#include "provider/key_ring.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace stek::test {

/// Remembers each key that ever was in a ring. One thread.
class Ledger {
  public:
    /// The windows in which a key seals and opens, Unix seconds.
    struct Key {
        std::uint64_t epoch = 0;
        std::uint32_t revision = 0;
        std::int64_t not_before = 0, seal_until = 0, open_until = 0;
    };

    /// What is wrong with this ring after all that were entered before; empty if nothing: a key made twice
    /// (an (epoch, revision) with another name or other bytes, or a name that comes back for another), a
    /// generation that goes back.
    std::vector<std::string> enter(const KeyRing& ring);
    /// Null if no ring had it.
    [[nodiscard]] const Key* find(const KeyName& name) const;
    [[nodiscard]] std::size_t keys() const noexcept { return by_name_.size(); }

  private:
    struct Made {
        KeyName name;
        std::vector<std::uint8_t> wrapped_key;
    };
    std::map<std::pair<std::uint64_t, std::uint32_t>, Made> made_;
    std::map<KeyName, Key> by_name_;
    std::uint64_t generation_ = 0;
};

}  // namespace stek::test
