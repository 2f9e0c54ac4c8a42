#include "daemon/loss_watch.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <sys/inotify.h>
#include <sys/stat.h>

namespace stek::daemon {
namespace {

constexpr std::uint32_t of_the_directory = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

std::uint32_t of_the_file(const WatchedFile& file) {
    return IN_DELETE | IN_MOVED_FROM | (file.unwritten ? IN_CLOSE_WRITE : 0) | (file.inode ? IN_MOVED_TO : 0);
}

bool identify(const std::string& file, dev_t& device, ino_t& inode) {
    struct stat status {};
    if (::stat(std::filesystem::path(file).parent_path().c_str(), &status) != 0)
        return false;
    device = status.st_dev;
    inode = status.st_ino;
    return true;
}

/// What was renamed to its place is another file than the one known: not stekd's own.
bool is_another(const WatchedFile& file) {
    struct stat status {};
    return ::stat(file.path.c_str(), &status) == 0 && status.st_ino != file.inode;
}

}  // namespace

void LossWatch::drop() {
    for (const auto& place : places_)
        sd_event_source_disable_unref(place->source);
    places_.clear();
}

bool LossWatch::as_they_are(const std::vector<WatchedFile>& files) const {
    if (files != files_ || places_.size() != files.size())
        return false;
    return std::all_of(places_.begin(), places_.end(), [](const auto& place) {
        dev_t device = 0;
        ino_t inode = 0;
        return identify(place->file.path, device, inode) && device == place->device && inode == place->inode;
    });
}

void LossWatch::watch(const std::vector<WatchedFile>& files) {
    if (as_they_are(files))
        return;
    drop();
    files_ = files;
    for (const auto& file : files) {
        auto place = std::make_unique<Place>(Place{this, file, 0, 0});
        if (!identify(file.path, place->device, place->inode))
            continue;
        const auto directory = std::filesystem::path(file.path).parent_path();
        const int result =
            sd_event_add_inotify(loop_, &place->source, directory.c_str(),
                                 of_the_file(file) | of_the_directory | IN_ONLYDIR, on_event, place.get());
        if (result == -ENOENT)
            continue;
        if (result < 0)
            throw std::system_error(-result, std::generic_category(), "cannot watch " + directory.string());
        places_.push_back(std::move(place));
    }
}

int LossWatch::on_event(sd_event_source*, const inotify_event* event, void* data) noexcept {
    const auto& place = *static_cast<Place*>(data);
    const bool its_file = (event->mask & of_the_file(place.file)) != 0 && event->len != 0 &&
                          std::filesystem::path(place.file.path).filename() == event->name &&
                          ((event->mask & IN_MOVED_TO) == 0 || is_another(place.file));
    if (its_file || (event->mask & of_the_directory) != 0) {
        const auto path = place.file.path;  // the place may be gone when it returns
        place.owner->lost_(path);
    }
    return 0;
}

}  // namespace stek::daemon
