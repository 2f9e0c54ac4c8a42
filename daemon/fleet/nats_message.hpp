// What NATS's messages say beside their payload.
#pragma once

#include "daemon/fleet/known_values.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nats/nats.h>
#include <optional>
#include <string>

namespace stek::fleet {

struct FreeNatsMessage {
    void operator()(natsMsg* message) const noexcept { natsMsg_Destroy(message); }
};
using NatsMessage = std::unique_ptr<natsMsg, FreeNatsMessage>;

/// ADR-8: what it says of a value that it was erased.
inline constexpr char operation_header[] = "KV-Operation", erased[] = "DEL";
/// ADR-31: of an answer that is none.
inline constexpr char status_header[] = "Status", not_found[] = "404";

/// Empty where there is none.
std::string header_of(natsMsg* message, const char* name);
std::size_t size_of(natsMsg* message) noexcept;
/// A value that was read.
Stored stored_in(natsMsg* message);
/// What a stream tells of a value that it has stored (RePublish, ADR-8 and ADR-28). Nothing if it has a key
/// that no party stores.
std::optional<NatsChange> change_in(natsMsg* message);
/// The sequence in the answer to what was to be stored (ADR-1, "PubAck"); nothing where it was not, or one
/// cannot tell.
std::optional<std::uint64_t> sequence_of_ack(natsMsg* message);

}  // namespace stek::fleet
