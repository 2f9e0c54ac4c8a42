// Notices at once what somebody removes or spoils: the key ring, a token.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>
#include <systemd/sd-event.h>

namespace stek::daemon {

struct WatchedFile {
    std::string path;
    bool unwritten;  ///< it is lost as well when somebody writes to it in its place
    /// Of the file that is there. If it is given, any other that is renamed to its place is a loss, too.
    std::optional<ino_t> inode;
};

/// inotify on the directories of some files. For the thread of the event loop.
class LossWatch {
  public:
    /// `lost` is called from the loop, which must outlive this object; it may call watch().
    LossWatch(sd_event* loop, std::function<void(const std::string& path)> lost)
        : loop_(loop), lost_(std::move(lost)) {}
    LossWatch(const LossWatch&) = delete;
    LossWatch& operator=(const LossWatch&) = delete;
    ~LossWatch() { drop(); }

    /// From now on these files, by their paths, in their directories as they are now. A file that is replaced
    /// by a rename is not lost; one that is removed or moved away is, with its directory or without, also if
    /// that was just before; but one that was missing at the last call, too, is not lost again. Throws
    /// std::system_error.
    void watch(const std::vector<WatchedFile>& files);

  private:
    struct Place {
        LossWatch* owner;
        WatchedFile file;
        dev_t device;
        ino_t inode;  ///< 0: of a directory that is gone
        sd_event_source* source = nullptr;
        sd_event_source* missing = nullptr;  ///< it was when the watch began
    };
    void drop();
    void add(const WatchedFile& file);
    void tell_if_missing(Place& place);
    [[nodiscard]] bool has_places_of(const std::vector<WatchedFile>& files) const;
    static void tell(const Place& place);
    static int on_event(sd_event_source*, const struct inotify_event* event, void* place) noexcept;
    static int on_missing(sd_event_source*, void* place) noexcept;

    sd_event* loop_;
    std::function<void(const std::string& path)> lost_;
    std::vector<std::unique_ptr<Place>> places_;
    std::vector<std::string> missing_, missing_before_;  ///< at the last two calls
};

}  // namespace stek::daemon
