// What enrolling and retiring make of a list, and how one that was signed comes into force.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/party.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace stek::fleet {

/// Nothing was signed; what() says why, and what to do.
class EnrolmentRefused : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Who a request or a party of a list is, for people: "vault v1 of location fra1".
std::string in_words(Role role, const std::string& name, const std::string& location);

/// The list with who asks as an active party of a new number, and the next serial. Nothing if he is that
/// already, with the same keys: to approve twice does no harm. `now`: Unix seconds. Throws EnrolmentRefused:
/// the name is another's, or was retired (a number and a name are given once), or the list is full.
std::optional<PartyList> with_party(const PartyList& list, const EnrolmentRequest& request, std::int64_t now);

/// The list with that party retired. Nothing if it is already. Throws EnrolmentRefused: there is none of that
/// name.
std::optional<PartyList> with_retired(const PartyList& list, std::string_view name, std::int64_t now);

/// The newest list of the location's machines; one of serial 0 if there is none yet.
PartyList machines_or_first(const KnownLists& lists, const std::string& location);

/// Throws EnrolmentRefused unless it is a machine of this location that asks.
void refuse_foreign_machine(const EnrolmentRequest& request, const std::string& location);

/// A frame with that list, signed by the root (0) or a vault. Throws std::invalid_argument, FrameError.
std::vector<std::uint8_t> list_frame(const FleetId& fleet, PartyNumber signer, EVP_PKEY* key,
                                     const PartyList& list);

/// Has the engine hold that frame, whatever is there; nothing to do if it is empty. Throws EngineError.
void store_list(Engine& engine, const std::string& bucket, const std::string& key, Bytes frame);

}  // namespace stek::fleet
