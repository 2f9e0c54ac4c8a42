// Who tells that a file was replaced, written or removed, so that nobody has to look for it.
#pragma once

#include "provider/anonymous_fd.hpp"

#include <string>

namespace stek {

/// inotify on the file's directory. For one thread.
class FileWatch {
  public:
    explicit FileWatch(const std::string& path);
    /// Watches, from now at the latest. False if that is not to be had (fs.inotify limits, no such directory,
    /// the file is a symbolic link): look for yourself, and ask again. Changes before this call are not told.
    bool stands() noexcept;
    /// For poll(); -1 if there is none. Readable after a change.
    [[nodiscard]] int descriptor() const noexcept { return inotify_.get(); }
    void take_events() noexcept;  ///< makes it unreadable again

  private:
    std::string path_, directory_;
    AnonymousFd inotify_;
    int watched_ = -1;
};

}  // namespace stek
