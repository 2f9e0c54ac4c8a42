// A thread that looks after what must leave a process in time, also when the process serves nobody.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace stek {

/// When to look again at the latest, in milliseconds of CLOCK_BOOTTIME. Nothing: nothing is left to look
/// after.
using NextLook = std::optional<std::uint64_t>;

/// One small thread, there only while there is something to look after. It sleeps until the file changes or
/// the next look is due; where neither can be told to it (inotify, file descriptors used up), it looks each
/// second. It blocks all signals.
///
/// Forks and exits wait for a chore to end, half a second at most: so a child inherits nothing that it holds,
/// and from when the exit handlers begin it touches nothing. A child has no such thread until begin().
class Housekeeper {
  public:
    /// `chore` is called by the thread, one call at a time in the process, and must not throw. `file` is
    /// absolute; a change of it is followed by a chore at once.
    Housekeeper(std::string file, std::function<NextLook()> chore);
    Housekeeper(const Housekeeper&) = delete;
    Housekeeper& operator=(const Housekeeper&) = delete;
    ~Housekeeper();

    /// A chore begins after this; the thread is started if need be. Takes no lock. 0, or errno if there is no
    /// thread to be had.
    int begin() noexcept;
    /// Ends the thread. False if that cannot be had: it is held up in a chore, or the process is about to
    /// exit; whatever the chore uses must then stay.
    [[nodiscard]] bool stop() noexcept;

  private:
    struct Work;  // shared with the thread, which may outlive this
    std::shared_ptr<Work> work_;
};

}  // namespace stek
