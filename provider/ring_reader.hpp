// A server process's view of the ring file: looked at once a second, parsed when it changed, kept as
// snapshots.
#pragma once

#include "provider/key_ring.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace stek {

enum class RingState {
    absent,
    good,
    corrupt
};  ///< corrupt: the last good snapshot stays, within its windows

/// Follows one ring file. Thread-safe: in the steady state current() is one atomic load and a compare per
/// thread, no lock; one thread a second makes one stat() and, on a change (inode, size, mtime in
/// nanoseconds), reads the file. An absent file empties the view at once; one that cannot be read or parsed
/// leaves the last good one. Records leave the view at the first look after their time is over, whatever the
/// file says.
///
/// Only the reader owns a ring; a thread's cache does not keep it alive, so that one which sleeps for days
/// holds no admission keys. What a caller was given it should let go of with the call. A child of fork()
/// begins without a ring.
class RingReader {
  public:
    struct View {
        std::shared_ptr<const KeyRing> ring;  ///< null: no ring (absent, or never a good one)
        RingState state = RingState::absent;
        std::string reason;          ///< for a log; empty when good
        std::uint64_t sequence = 0;  ///< changes whenever anything above does
        std::uint64_t news = 0;      ///< the sequence of the last change but for records whose time was over
    };
    /// `location`: the only one accepted; empty accepts any (then stays with the first seen).
    RingReader(std::string path, std::string location);
    /// The view as of `monotonic_seconds` (CLOCK_MONOTONIC_COARSE). Never throws, never null.
    std::shared_ptr<const View> current(std::uint64_t monotonic_seconds) noexcept;
    /// Looks at the file now rather than at the next second: for a ticket under a name that no record has,
    /// for another process may have seen a new ring before this one. At most once in 100 ms of
    /// `monotonic_milliseconds`; false if it did not look. Never throws.
    bool look_again(std::uint64_t monotonic_milliseconds) noexcept;
    /// The view after a look at the file that begins now; waits for another thread's to end first. For who
    /// was told that the file changed, or that a record is over. Never throws, never null.
    std::shared_ptr<const View> look_now() noexcept;
    ~RingReader();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace stek
