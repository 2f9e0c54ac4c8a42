#include "daemon/fleet/list_changes.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace stek::fleet {
namespace {

PartyList next(const PartyList& list, std::int64_t now) {
    PartyList changed = list;
    ++changed.serial;
    changed.signed_at = now;
    return changed;
}

bool is_same(const Party& party, const EnrolmentRequest& request) {
    return party.role == request.role && party.location == request.location &&
           party.signing_key == request.signing_key && party.sealing_key == request.sealing_key;
}

const char* name_of(Role role) {
    switch (role) {
        case Role::origin:
            return "origin";
        case Role::vault:
            return "vault";
        case Role::machine:
            return "machine";
    }
    return "party";
}

/// Where a list is in the engine.
struct Place {
    std::string bucket, key;
};

Place place_of(const std::string& location) {
    return location.empty() ? Place{bucket::fleet, KnownLists::fleet_key}
                            : Place{bucket::of_location(location), KnownLists::machines_key};
}

// Whoever signs a serial claims it by create(), which one of several wins.
std::string claim_key(const Place& place, std::uint64_t serial) {
    return place.key + "." + std::to_string(serial);
}

bool claim(KnownLists& lists, Engine& engine, const Place& place, std::uint64_t serial, Bytes frame) {
    const auto key = claim_key(place, serial);
    try {
        if (engine.create(place.bucket, key, frame))
            return true;
        const auto there = engine.get(place.bucket, key);
        if (there && std::ranges::equal(*there, frame))
            return true;
        if (there)
            lists.offer(*there);
        return false;
    } catch (const FrameError&) {      // NOLINT(bugprone-empty-catch): noise, which is written over
    } catch (const OversizedValue&) {  // NOLINT(bugprone-empty-catch): the same
    }
    engine.put(place.bucket, key, frame);
    return true;
}

// Some are kept for those who have not seen the newest list yet.
void drop_old_claims(Engine& engine, const Place& place, std::uint64_t serial) {
    if (serial > most_attempts_to_sign)
        engine.erase(place.bucket, claim_key(place, serial - most_attempts_to_sign));
}

}  // namespace

std::string in_words(Role role, const std::string& name, const std::string& location) {
    return std::string(name_of(role)) + " " + name + (location.empty() ? "" : " of location " + location);
}

std::optional<PartyList> with_party(const PartyList& list, const EnrolmentRequest& request,
                                    std::int64_t now) {
    if (const Party* party = list.find(request.name)) {
        const auto who = in_words(party->role, party->name, party->location);
        if (party->standing != Standing::active)
            throw EnrolmentRefused(who + " was retired, and a name is given once: let it ask by another one");
        if (!is_same(*party, request))
            throw EnrolmentRefused(
                who +
                " is enrolled with other keys. If its token was made anew: retire it, and let it ask by "
                "another name; if not, somebody wants to be taken for it");
        return {};
    }
    if (list.parties.size() >= PartyList::max_parties)
        throw EnrolmentRefused("the list is full: it has " + std::to_string(list.parties.size()) +
                               " parties, retired ones too");
    PartyList changed = next(list, now);
    Party party;
    party.number = list.parties.empty() ? 1 : list.parties.back().number + 1;
    party.role = request.role;
    party.standing = Standing::active;
    party.name = request.name;
    party.location = request.location;
    party.signing_key = request.signing_key;
    party.sealing_key = request.sealing_key;
    changed.parties.push_back(std::move(party));
    return changed;
}

std::optional<PartyList> with_retired(const PartyList& list, std::string_view name, std::int64_t now) {
    // It is repeated in what people read.
    if (!is_party_name(name))
        throw EnrolmentRefused("a party's name is 1 to 64 of letters, digits, '_' and '-'");
    PartyList changed = next(list, now);
    const auto found = std::ranges::find(changed.parties, name, &Party::name);
    if (found == changed.parties.end())
        throw EnrolmentRefused("nobody of the name " + std::string(name) + " is in the list");
    if (found->standing == Standing::retired)
        return {};
    found->standing = Standing::retired;
    return changed;
}

PartyList with_nothing_changed(const PartyList& list, std::int64_t now) {
    return next(list, now);
}

PartyList machines_or_first(const KnownLists& lists, const std::string& location) {
    if (lists.machines() != nullptr)
        return *lists.machines();
    PartyList first;
    first.location = location;
    return first;
}

void refuse_foreign_machine(const EnrolmentRequest& request, const std::string& location) {
    if (request.role != Role::machine || request.location != location)
        throw EnrolmentRefused(in_words(request.role, request.name, request.location) +
                               " is no machine of location " + location);
}

std::vector<std::uint8_t> list_frame(const FleetId& fleet, PartyNumber signer, EVP_PKEY* key,
                                     const PartyList& list) {
    return make_frame({Kind::list, fleet, signer}, encode_list(list),
                      [key](Bytes bytes) { return sign_with(key, bytes); });
}

bool issue_list(KnownLists& lists, Engine& engine, const PartyList& list, Bytes frame) {
    const Place place = place_of(list.location);
    try {
        if (!claim(lists, engine, place, list.serial, frame))
            return false;
    } catch (const EngineError&) {
        lists.offer(frame);
        throw;
    }
    lists.offer(frame);
    store_list(lists, engine, list.location);
    drop_old_claims(engine, place, list.serial);
    return true;
}

void store_list(KnownLists& lists, Engine& engine, const std::string& location) {
    const auto own = [&] { return location.empty() ? lists.fleet_frame() : lists.machines_frame(); };
    const auto [bucket, key] = place_of(location);
    try {
        if (const auto there = engine.get(bucket, key)) {
            lists.offer(*there);  // what is newer stays
            if (std::ranges::equal(*there, own()))
                return;
        }
        // What comes before ours is written over, as noise is.
    } catch (const FrameError&) {      // NOLINT(bugprone-empty-catch)
    } catch (const OversizedValue&) {  // NOLINT(bugprone-empty-catch)
    }
    if (const Bytes frame = own(); !frame.empty())
        engine.put(bucket, key, frame);
}

std::vector<std::string> buckets_of(const PartyList& fleet) {
    std::set<std::string> buckets{bucket::fleet, bucket::hourly, bucket::pre_keys};
    for (const auto& party : fleet.parties)
        if (party.role == Role::vault && party.standing == Standing::active)
            buckets.insert(bucket::of_location(party.location));
    return {buckets.begin(), buckets.end()};
}

}  // namespace stek::fleet
