// Who tells that something in a bucket's directory came, changed or went.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "provider/file.hpp"

#include <string>

namespace stek::fleet {

/// inotify on the bucket and on the root, in which the bucket may come and go. Writes nothing, so that it
/// works on a share that is read-only here. Throws EngineError: no root, no inotify to be had.
class DirectoryWatch final : public Watch {
  public:
    DirectoryWatch(const std::string& root, const std::string& bucket);
    [[nodiscard]] int fd() const noexcept override { return inotify_.get(); }
    /// Broken when the root is gone.
    bool clear() override;

  private:
    void watch_both();
    void follow(int& watched, int found) const noexcept;

    std::string root_, bucket_;
    Fd inotify_;
    int root_watch_ = -1, bucket_watch_ = -1;
};

}  // namespace stek::fleet
