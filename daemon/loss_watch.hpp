// Notices at once what somebody removes: the key ring, a token.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>
#include <systemd/sd-event.h>

namespace stek::daemon {

/// inotify on the directories of some files. For the thread of the event loop.
class LossWatch {
  public:
    /// `lost` is called from the loop, which must outlive this object; it may call watch().
    LossWatch(sd_event* loop, std::function<void(const std::string& file)> lost)
        : loop_(loop), lost_(std::move(lost)) {}
    LossWatch(const LossWatch&) = delete;
    LossWatch& operator=(const LossWatch&) = delete;
    ~LossWatch() { drop(); }

    /// From now on these files, by their paths, in their directories as they are now. A directory that is not
    /// there is passed over: to be called again when it may have come. A file that is replaced by a rename is
    /// not lost; one that is removed, moved away or written to in its place is. Throws std::system_error.
    void watch(const std::vector<std::string>& files);

  private:
    struct Place {
        LossWatch* owner;
        std::string file;
        dev_t device;
        ino_t inode;
        sd_event_source* source = nullptr;
    };
    void drop();
    [[nodiscard]] bool as_they_are(const std::vector<std::string>& files) const;
    static int on_event(sd_event_source*, const struct inotify_event* event, void* place) noexcept;

    sd_event* loop_;
    std::function<void(const std::string& file)> lost_;
    std::vector<std::string> files_;
    std::vector<std::unique_ptr<Place>> places_;
};

}  // namespace stek::daemon
