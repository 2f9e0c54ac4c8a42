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

/// The same, to be signed by somebody else.
PartyList with_nothing_changed(const PartyList& list, std::int64_t now);

/// The newest list of the location's machines; one of serial 0 if there is none yet.
PartyList machines_or_first(const KnownLists& lists, const std::string& location);

/// Throws EnrolmentRefused unless it is a machine of this location that asks.
void refuse_foreign_machine(const EnrolmentRequest& request, const std::string& location);

/// A frame with that list, signed by the root (0) or a vault. Throws std::invalid_argument, FrameError.
std::vector<std::uint8_t> list_frame(const FleetId& fleet, PartyNumber signer, EVP_PKEY* key,
                                     const PartyList& list);

/// Makes a list that was signed here, in `frame`, the one in force: durable, then in the engine. Who signs
/// its serial first has it: false if that was somebody else, whose list is the known one then; the change is
/// to be made anew, of that one. If the engine does not answer, the list is in force here (who is retired
/// stays so), and store_list() tries again. Throws EngineError, FrameError, std::system_error.
bool issue_list(KnownLists& lists, Engine& engine, const PartyList& list, Bytes frame);

/// Has the engine hold the newest list, whatever is there; nothing to do before the first. `location`: whose
/// machines; empty: the fleet's. Throws EngineError, std::system_error.
void store_list(KnownLists& lists, Engine& engine, const std::string& location);

/// Of several who change a list at the same instants one gets on each time.
inline constexpr unsigned most_attempts_to_sign = 16;

/// All that the fleet's parties use: its own, and one of each location that has a vault.
std::vector<std::string> buckets_of(const PartyList& fleet);

}  // namespace stek::fleet
