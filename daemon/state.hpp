// What stekd remembers from one run to the next: a small file in a directory that one stekd holds.
#pragma once

#include "daemon/another_stekd.hpp"
#include "daemon/plan.hpp"
#include "provider/file.hpp"

#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace stek::daemon {

/// Nothing in it is secret; but who could change the public keys could have STEKs wrapped to himself, so the
/// file is 0600 in a directory of 0700.
struct State {
    std::string boot_id;       ///< of the boot that the pairs' and records' ages count in
    std::string token_serial;  ///< of the ticket token that the pairs are in
    std::uint64_t generation = 0;
    Memory memory;
    std::map<PairId, std::vector<std::uint8_t>> public_keys;  ///< DER SubjectPublicKeyInfo of memory.pairs
    std::string enforcing_serial;         ///< of the ticket token that passed the last probe
    std::vector<std::string> weaknesses;  ///< attempts that the ticket token did not refuse at the last probe
};

class StateDirectory {
  public:
    /// Makes the directory (0700) if need be and locks it for this object's life. Throws AnotherStekd
    /// if one holds it, std::system_error.
    explicit StateDirectory(const std::string& path);

    /// Empty if there is no file. Throws std::runtime_error if it cannot be understood, std::system_error if
    /// it cannot be read.
    [[nodiscard]] State load() const;
    /// The same, but what cannot be understood is told, moved out of the way, and taken for none. Throws
    /// std::system_error.
    [[nodiscard]] State load_or_set_aside() const;
    /// Durable on return. Throws std::system_error.
    void save(const State& state) const;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// For those who only look: the state as it is, without the lock.
    static State peek(const std::string& path);
    /// The process that holds the directory, or 0.
    static pid_t holder(const std::string& path);

  private:
    void set_aside() const;

    std::string path_;
    Fd lock_;
};

/// This boot's id (random(4), /proc/sys/kernel/random/boot_id).
std::string current_boot_id();

std::string hex(Bytes bytes);

}  // namespace stek::daemon
