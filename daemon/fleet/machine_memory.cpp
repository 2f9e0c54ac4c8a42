// A machine's memory as JSON, version 1. What is hexadecimal is in lower case.
//
//   {"version": 1, "boot_id": "...", "token_serial": "...", "generation": n,
//    "pairs": [{"id": hex, "slot_epoch": n, "public_key": hex}],
//    "keys": [{"epoch": n, "revision": n, "open_until": n, "gone_by": n or absent, "revoked": bool,
//              "taken": [{"vault": n, "counter": n, "record": hex}]}]}
#include "daemon/fleet/machine_memory.hpp"

#include "daemon/fleet/strict_json.hpp"
#include "daemon/state.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

using nlohmann::json;

constexpr int format_version = 1;

json to_json(const OwnPair& pair) {
    return {{"id", daemon::hex(pair.id)},
            {"slot_epoch", pair.slot_epoch},
            {"public_key", daemon::hex(pair.public_key)}};
}

json to_json(const daemon::KeyId& id, const KnownKey& key) {
    json out{{"epoch", id.epoch},
             {"revision", id.revision},
             {"open_until", key.open_until},
             {"revoked", key.revoked},
             {"taken", json::array()}};
    if (key.gone_by)
        out["gone_by"] = *key.gone_by;
    for (const auto& [vault, taken] : key.taken)
        out["taken"].push_back(
            {{"vault", vault}, {"counter", taken.counter}, {"record", daemon::hex(taken.record)}});
    return out;
}

OwnPair pair_from(const json& in) {
    const strict::Object object(in, {"id", "slot_epoch", "public_key"});
    OwnPair pair;
    pair.id = object.bytes<sizeof(PairId)>("id");
    pair.slot_epoch = object.number<std::uint64_t>("slot_epoch");
    pair.public_key = object.bytes("public_key");
    return pair;
}

std::pair<PartyNumber, Taken> taken_from(const json& in) {
    const strict::Object object(in, {"vault", "counter", "record"});
    return {object.number<PartyNumber>("vault"),
            {object.number<std::uint64_t>("counter"), object.bytes<sizeof(Digest)>("record")}};
}

std::pair<daemon::KeyId, KnownKey> key_from(const json& in) {
    const strict::Object object(in, {"epoch", "revision", "open_until", "revoked", "taken"}, {"gone_by"});
    KnownKey key;
    key.open_until = object.number<std::int64_t>("open_until");
    if (object.has("gone_by"))
        key.gone_by = object.number<std::uint64_t>("gone_by");
    key.revoked = object.flag("revoked");
    for (const auto& item : object.list("taken"))
        if (!key.taken.insert(taken_from(item)).second)
            throw std::runtime_error("a vault twice");
    return {{object.number<std::uint64_t>("epoch"), object.number<std::uint32_t>("revision")}, key};
}

MachineMemory memory_from(const json& in) {
    const strict::Object object(in, {"version", "boot_id", "token_serial", "generation", "pairs", "keys"});
    if (object.number<std::uint32_t>("version") != format_version)
        throw std::runtime_error("of another version");
    MachineMemory memory;
    memory.boot_id = object.text("boot_id");
    memory.token_serial = object.text("token_serial");
    memory.generation = object.number<std::uint64_t>("generation");
    for (const auto& item : object.list("pairs")) {
        auto pair = pair_from(item);
        if (memory.find(pair.id) != nullptr)
            throw std::runtime_error("a pair twice");
        memory.pairs.push_back(std::move(pair));
    }
    for (const auto& item : object.list("keys"))
        if (!memory.keys.insert(key_from(item)).second)
            throw std::runtime_error("a key twice");
    return memory;
}

}  // namespace

const KnownKey* MachineMemory::find(daemon::KeyId key) const noexcept {
    const auto found = keys.find(key);
    return found == keys.end() ? nullptr : &found->second;
}

const OwnPair* MachineMemory::find(const PairId& id) const noexcept {
    const auto found = std::ranges::find(pairs, id, &OwnPair::id);
    return found == pairs.end() ? nullptr : &*found;
}

bool MachineMemory::is_revoked(daemon::KeyId key) const noexcept {
    const auto* known = find(key);
    return known != nullptr && known->revoked;
}

std::vector<std::uint8_t> encode_memory(const MachineMemory& memory) {
    json out{
        {"version", format_version},       {"boot_id", memory.boot_id}, {"token_serial", memory.token_serial},
        {"generation", memory.generation}, {"pairs", json::array()},    {"keys", json::array()}};
    for (const auto& pair : memory.pairs)
        out["pairs"].push_back(to_json(pair));
    for (const auto& [id, key] : memory.keys)
        out["keys"].push_back(to_json(id, key));
    const auto text = out.dump(1) + "\n";
    return {text.begin(), text.end()};
}

MachineMemory decode_machine_memory(Bytes file) {
    try {
        return memory_from(strict::parse(file));
    } catch (const std::exception& error) {
        throw std::runtime_error(std::string("a machine's memory: ") + error.what());
    }
}

}  // namespace stek::fleet
