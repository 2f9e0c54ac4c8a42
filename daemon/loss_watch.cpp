#include "daemon/loss_watch.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

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

void must(int result, const std::string& directory) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), "cannot watch " + directory);
}

}  // namespace

void LossWatch::drop() {
    for (const auto& place : places_) {
        sd_event_source_disable_unref(place->source);
        sd_event_source_disable_unref(place->missing);
    }
    places_.clear();
}

bool LossWatch::has_places_of(const std::vector<WatchedFile>& files) const {
    return std::equal(
        places_.begin(), places_.end(), files.begin(), files.end(), [](const auto& place, const auto& file) {
            dev_t device = 0;
            ino_t inode = 0;
            return place->file.path == file.path && of_the_file(place->file) == of_the_file(file) &&
                   identify(file.path, device, inode) && device == place->device && inode == place->inode;
        });
}

void LossWatch::watch(const std::vector<WatchedFile>& files) {
    if (has_places_of(files)) {
        // The sources stay, and with them what has happened since the files were written.
        for (std::size_t i = 0; i < files.size(); ++i)
            places_[i]->file = files[i];
        return;
    }
    drop();
    missing_before_ = std::exchange(missing_, {});
    for (const auto& file : files)
        add(file);
}

void LossWatch::add(const WatchedFile& file) {
    auto& place = *places_.emplace_back(std::make_unique<Place>(Place{this, file, 0, 0}));
    const auto directory = std::filesystem::path(file.path).parent_path();
    if (identify(file.path, place.device, place.inode)) {
        const int result =
            sd_event_add_inotify(loop_, &place.source, directory.c_str(),
                                 of_the_file(file) | of_the_directory | IN_ONLYDIR, on_event, &place);
        if (result == -ENOENT)
            place.inode = 0;
        else
            must(result, directory);
    }
    tell_if_missing(place);
}

void LossWatch::tell_if_missing(Place& place) {
    const auto& file = place.file;
    struct stat status {};
    if (::stat(file.path.c_str(), &status) == 0 && (!file.inode || status.st_ino == file.inode))
        return;
    missing_.push_back(file.path);
    if (std::find(missing_before_.begin(), missing_before_.end(), file.path) == missing_before_.end())
        must(sd_event_add_defer(loop_, &place.missing, on_missing, &place), file.path);
}

void LossWatch::tell(const Place& place) {
    const auto path = place.file.path;  // the place may be gone when it returns
    place.owner->lost_(path);
}

int LossWatch::on_missing(sd_event_source*, void* data) noexcept {
    tell(*static_cast<const Place*>(data));
    return 0;
}

int LossWatch::on_event(sd_event_source*, const inotify_event* event, void* data) noexcept {
    auto& place = *static_cast<Place*>(data);
    if ((event->mask & of_the_directory) != 0)
        place.inode = 0;  // the watch ends with it, and the next directory may have its number
    const bool its_file = (event->mask & of_the_file(place.file)) != 0 && event->len != 0 &&
                          std::filesystem::path(place.file.path).filename() == event->name &&
                          ((event->mask & IN_MOVED_TO) == 0 || is_another(place.file));
    if (its_file || (event->mask & of_the_directory) != 0)
        tell(place);
    return 0;
}

}  // namespace stek::daemon
