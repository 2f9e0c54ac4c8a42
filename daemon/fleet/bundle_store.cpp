// DIR/bundles/<epoch>.<revision> is settled; with ".minted" behind it, it is not. Where a kill has left both,
// the settled one counts: it was written last.
#include "daemon/fleet/bundle_store.hpp"

#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "provider/file.hpp"

#include <cerrno>
#include <filesystem>
#include <string_view>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

constexpr mode_t owner_enters = 0700;
constexpr std::string_view minted_suffix = ".minted";

using State = BundleStore::State;

std::string file_of(KeyId key, State state) {
    return bundle_key(key) + (state == State::minted ? std::string(minted_suffix) : "");
}

}  // namespace

BundleStore::BundleStore(const std::string& directory) : directory_(directory + "/bundles") {
    if (::mkdir(directory_.c_str(), owner_enters) != 0 && errno != EEXIST)
        throw_errno("cannot make", directory_);
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory_))
        files.push_back(entry.path().filename());
    for (const auto& file : files)
        load(file);
}

void BundleStore::load(const std::string& file) {
    const bool minted = file.ends_with(minted_suffix);
    const auto key =
        parse_bundle_key(std::string_view(file).substr(0, file.size() - (minted ? minted_suffix.size() : 0)));
    const auto path = directory_ + "/" + file;
    if (!key || !std::filesystem::is_regular_file(std::filesystem::symlink_status(path))) {
        std::filesystem::remove_all(path);
        return;
    }
    const auto known = held_.find(*key);
    if (known != held_.end() && minted)
        return;
    // One that is too large is cut off: its key is taken all the same, though nobody will believe it.
    held_[*key] = {read_up_to(path, largest_frame(Kind::bundle)), minted ? State::minted : State::settled};
}

const BundleStore::Held* BundleStore::find(KeyId key) const {
    const auto found = held_.find(key);
    return found == held_.end() ? nullptr : &found->second;
}

void BundleStore::keep(KeyId key, Bytes frame, State state) {
    Held held{{frame.begin(), frame.end()}, state};
    replace_durably(directory_, file_of(key, state), held.frame);
    held_[key] = std::move(held);
    if (state == State::settled)
        remove_durably(directory_, file_of(key, State::minted));
}

void BundleStore::settle(KeyId key) {
    const auto found = held_.find(key);
    if (found == held_.end() || found->second.state == State::settled)
        return;
    const auto frame = found->second.frame;
    keep(key, frame, State::settled);
}

void BundleStore::drop_before(std::uint64_t epoch) {
    while (!held_.empty() && held_.begin()->first.epoch < epoch) {
        const KeyId key = held_.begin()->first;
        for (const auto state : {State::minted, State::settled})
            remove_durably(directory_, file_of(key, state));
        held_.erase(held_.begin());
    }
}

}  // namespace stek::fleet
