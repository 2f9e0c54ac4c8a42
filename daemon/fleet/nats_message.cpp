#include "daemon/fleet/nats_message.hpp"

#include "daemon/fleet/nats_access.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

/// ADR-31, and of what a stream republishes.
constexpr char sequence_header[] = "Nats-Sequence";

/// The last, which is the server's: who stores a message may have put one of his own before it. 0: none.
std::uint64_t sequence_in(natsMsg* message) {
    const char** made = nullptr;
    int count = 0;
    if (natsMsgHeader_Values(message, sequence_header, &made, &count) != NATS_OK || count < 1)
        return 0;
    const std::unique_ptr<const char*, void (*)(const char**)> values(
        made, [](const char** array) { std::free(array); });
    std::uint64_t sequence = 0;
    const std::string_view text = made[count - 1];
    std::from_chars(text.data(), text.data() + text.size(), sequence);
    return sequence;
}

bool is_erased(natsMsg* message) {
    return !header_of(message, operation_header).empty();
}

}  // namespace

std::string header_of(natsMsg* message, const char* name) {
    const char* value = nullptr;
    return natsMsgHeader_Get(message, name, &value) == NATS_OK && value != nullptr ? value : "";
}

std::size_t size_of(natsMsg* message) noexcept {
    return static_cast<std::size_t>(natsMsg_GetDataLength(message));
}

Stored stored_in(natsMsg* message) {
    const auto* const data = natsMsg_GetData(message);
    return {sequence_in(message), is_erased(message), {data, data + size_of(message)}};
}

std::optional<NatsChange> change_in(natsMsg* message) {
    auto subject = subject::of_change(natsMsg_GetSubject(message));
    if (!subject::is_value(subject))
        return {};
    return NatsChange{std::move(subject), sequence_in(message), is_erased(message)};
}

std::optional<std::uint64_t> sequence_of_ack(natsMsg* message) {
    if (message == nullptr)
        return {};
    const auto* const data = natsMsg_GetData(message);
    const auto answer = nlohmann::json::parse(data, data + size_of(message), nullptr, false);
    const auto sequence = answer.is_object() && !answer.contains("error") ? answer.find("seq") : answer.end();
    if (sequence == answer.end() || !sequence->is_number_unsigned())
        return {};
    return sequence->get<std::uint64_t>();
}

}  // namespace stek::fleet
