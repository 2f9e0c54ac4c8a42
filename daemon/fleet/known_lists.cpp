#include "daemon/fleet/known_lists.hpp"

#include "daemon/fleet/durable_file.hpp"
#include "daemon/log.hpp"

#include <algorithm>
#include <filesystem>

namespace stek::fleet {
namespace {

constexpr char machines_file[] = "machines.list";

std::vector<std::uint8_t> read_frame(const std::string& path) {
    auto frame = read_up_to(path, largest_frame(Kind::list));
    if (frame.size() > largest_frame(Kind::list))
        throw FrameError(path + " is too large for a list");
    return frame;
}

std::string party(PartyNumber number) {
    return "party " + std::to_string(number);
}

}  // namespace

KnownLists::KnownLists(std::string directory, const Point& root, std::string location)
    : directory_(std::move(directory)),
      location_(std::move(location)),
      root_(root),
      fleet_id_(fleet_id_of(root)) {
    if (directory_.empty())
        return;
    load(fleet_file);  // first: it says who may have signed the other
    if (!location_.empty())
        load(machines_file);
}

void KnownLists::load(const std::string& file) {
    const auto path = directory_ + "/" + file;
    if (!std::filesystem::exists(path))
        return;
    try {
        auto frame = read_frame(path);
        auto list = verified(frame, From::own_file);
        // Asked first: an assignment's right side is evaluated before its left, and a list that was moved
        // from has no location any more, as the fleet's has none.
        auto& known = place_of(list);
        known = Known{std::move(list), std::move(frame)};
    } catch (const FrameError& error) {
        tell_once(path, error.what());
    }
}

bool KnownLists::refresh(Engine& engine) {
    bool newer = look(engine, bucket::fleet, fleet_key);
    if (!location_.empty())
        newer |= look(engine, bucket::of_location(location_), machines_key);
    return newer;
}

bool KnownLists::look(Engine& engine, const std::string& bucket, const std::string& key) {
    const auto& known = key == fleet_key ? fleet_ : machines_;
    try {
        const auto found = engine.get(bucket, key);
        if (!found && known && !directory_.empty())
            put_back(engine, bucket, key, known->frame);
        if (!found || (known && known->frame == *found))
            return false;
        offer(*found);
        return true;
    } catch (const FrameError& error) {
        tell_once(bucket + "/" + key, error.what());
    } catch (const OversizedValue& error) {
        tell_once(bucket + "/" + key, error.what());
    }
    return false;
}

// A service to the others; an engine may not let this party write there.
void KnownLists::put_back(Engine& engine, const std::string& bucket, const std::string& key, Bytes frame) {
    try {
        engine.create(bucket, key, frame);
    } catch (const EngineError& error) {
        tell_once("the engine, where " + bucket + "/" + key + " is missing", error.what());
    }
}

void KnownLists::offer(Bytes frame) {
    auto list = verified(frame, From::outside);
    auto& known = place_of(list);
    if (known && std::ranges::equal(frame, known->frame))
        return;
    if (known && goes_before(list, frame, *known)) {
        daemon::log(LOG_WARNING, "list " + std::to_string(list.serial) + " of location " + location_ +
                                     " was signed twice: the one by " + party(signer_of(frame)) +
                                     " is in force, what the other one changed has to be done again");
    } else if (known && list.serial <= known->list.serial) {
        throw FrameError("list: serial " + std::to_string(list.serial) + ", but " +
                         std::to_string(known->list.serial) + " is known: a replay");
    }
    // On the disk before it is believed: after a power cut an older one would undo a retirement.
    if (!directory_.empty())
        replace_durably(directory_, list.location.empty() ? fleet_file : machines_file, frame);
    known = Known{std::move(list), {frame.begin(), frame.end()}};
}

bool KnownLists::machines_are_by_a_retired_vault() const {
    if (!machines_ || !fleet_)
        return false;
    const Party* vault = fleet_->list.find(signer_of(machines_->frame));
    return vault == nullptr || vault->standing != Standing::active;
}

PartyNumber KnownLists::signer_of(Bytes frame) const {
    return peek_frame(frame, Kind::list, fleet_id_).signer;
}

// Vaults that could not see each other may have signed one serial each: all have to come to the same list.
bool KnownLists::goes_before(const PartyList& list, Bytes frame, const Known& known) const {
    if (list.location.empty() || list.serial != known.list.serial)
        return false;
    const auto ours = signer_of(known.frame), theirs = signer_of(frame);
    return theirs != ours ? theirs < ours : std::ranges::lexicographical_compare(frame, known.frame);
}

PartyList KnownLists::verified(Bytes frame, From from) const {
    const auto head = peek_frame(frame, Kind::list, fleet_id_);
    auto list = decode_list(open_frame(frame, Kind::list, fleet_id_, list_key(head.signer, from)));
    if (list.location.empty() != (head.signer == 0))
        throw FrameError("list: " + party(head.signer) + " may not sign it");
    if (!list.location.empty() && list.location != location_)
        throw FrameError("list: of location " + list.location);
    return list;
}

// The number says who it should have been; the signature, whether it was.
Point KnownLists::list_key(PartyNumber signer, From from) const {
    if (signer == 0)
        return root_;
    const Party* vault = fleet_ ? fleet_->list.find(signer) : nullptr;
    if (vault == nullptr || vault->role != Role::vault || vault->location != location_)
        throw FrameError("list: signed by " + party(signer) + ", which is no vault of this location");
    if (from == From::outside && vault->standing != Standing::active)
        throw FrameError("list: signed by " + party(signer) + ", which is retired");
    return vault->signing_key;
}

std::optional<KnownLists::Known>& KnownLists::place_of(const PartyList& list) {
    return list.location.empty() ? fleet_ : machines_;
}

Bytes KnownLists::open(Bytes frame, Kind kind, Role role, const std::string& location,
                       const Party*& signer) const {
    const auto head = peek_frame(frame, kind, fleet_id_);
    const auto& known = role == Role::machine ? machines_ : fleet_;
    const Party* party_found = known ? known->list.find(head.signer) : nullptr;
    const auto refuse = [&](const char* why) {
        throw FrameError(std::string(name_of(kind)) + ": signed by " + party(head.signer) + ", " + why);
    };
    if (party_found == nullptr || party_found->role != role)
        refuse("who may not");
    else if (role == Role::vault && !location.empty() && party_found->location != location)
        refuse("a vault of another location");
    else if (party_found->standing != Standing::active)
        refuse("who is retired");
    const Bytes body = verified_frames_.open(frame, kind, fleet_id_, party_found->signing_key);
    signer = party_found;
    return body;
}

void KnownLists::tell_once(const std::string& where, const std::string& why) {
    auto& last = told_[where];
    if (last == why)
        return;
    last = why;
    daemon::log(LOG_WARNING, "not taken from " + where + ": " + why);
}

}  // namespace stek::fleet
