// A machine's memory is read back as it was written, and nothing else is read.
#define BOOST_TEST_MODULE fleet_machine_memory
#include "daemon/fleet/machine_memory.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace stek;
using namespace stek::fleet;
using nlohmann::json;

namespace {

MachineMemory sample() {
    MachineMemory memory;
    memory.boot_id = "b0075a3f-6c1e-4d0e-9d5d-0d6f4c1f3f11";
    memory.token_serial = "0123456789abcdef";
    memory.generation = UINT64_MAX;
    memory.pairs = {{PairId{1, 2, 3}, 500'000, {0x30, 0x82, 0xff}}, {PairId{9}, 500'001, {0x30}}};
    memory.keys[{500'000, 0}] = {1'800'010'800, 11'801, false, {{1, {5, Digest{7}}}, {2, {9, Digest{8}}}}};
    memory.keys[{500'000, UINT32_MAX}] = {INT64_MAX, std::nullopt, true, {}};
    return memory;
}

MachineMemory decode(const std::string& text) {
    return decode_machine_memory({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

json sample_json() {
    const auto file = encode_memory(sample());
    return json::parse(file.begin(), file.end());
}

void is_refused(const json& changed) {
    BOOST_CHECK_THROW(decode(changed.dump()), std::runtime_error);
}

/// Each place in it, once.
void each_place(const json& in, const json::json_pointer& at, std::vector<json::json_pointer>& places) {
    places.push_back(at);
    if (in.is_object())
        for (const auto& item : in.items())
            each_place(item.value(), at / item.key(), places);
    if (in.is_array())
        for (std::size_t i = 0; i < in.size(); ++i)
            each_place(in[i], at / i, places);
}
std::vector<json::json_pointer> each_place(const json& in) {
    std::vector<json::json_pointer> places;
    each_place(in, json::json_pointer(), places);
    return places;
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_comes_back_as_it_was) {
    for (const auto& memory : {sample(), MachineMemory{}})
        BOOST_TEST((decode_machine_memory(encode_memory(memory)) == memory));
}

BOOST_AUTO_TEST_CASE(a_member_that_is_missing_is_an_error) {
    const auto whole = sample_json();
    for (const auto& place : each_place(whole)) {
        if (place.empty() || place.back() == "gone_by" || !whole.at(place.parent_pointer()).is_object())
            continue;
        auto changed = whole;
        changed.at(place.parent_pointer()).erase(place.back());
        is_refused(changed);
    }
}

BOOST_AUTO_TEST_CASE(a_member_that_is_unknown_is_an_error) {
    const auto whole = sample_json();
    for (const auto& place : each_place(whole))
        if (whole.at(place).is_object()) {
            auto changed = whole;
            changed.at(place)["more"] = 1;
            is_refused(changed);
        }
}

BOOST_AUTO_TEST_CASE(a_value_of_another_type_or_range_is_an_error) {
    const auto whole = sample_json();
    for (const auto& place : each_place(whole))
        for (const auto& wrong : {json(nullptr), json(1.5), json(-1), json("x"), json(json::array({1})),
                                  json(json::object()), json(true), json(std::string(32, 'A'))}) {
            const auto& before = whole.at(place);
            // An empty object is no list, and a text may be any.
            const bool is_free_text =
                !place.empty() && (place.back() == "boot_id" || place.back() == "token_serial");
            const bool may_be = (wrong.is_string() && is_free_text) ||
                                (wrong == -1 && !place.empty() && place.back() == "open_until") ||
                                (wrong.is_boolean() && before.is_boolean());
            if (may_be)
                continue;
            auto changed = whole;
            changed.at(place) = wrong;
            is_refused(changed);
        }
    auto changed = whole;
    changed["keys"][0]["revision"] = std::uint64_t{1} << 32;
    is_refused(changed);
    changed = whole;
    changed["version"] = 2;
    is_refused(changed);
}

BOOST_AUTO_TEST_CASE(what_is_there_twice_is_an_error) {
    for (const auto* list : {"pairs", "keys"}) {
        auto changed = sample_json();
        changed[list].push_back(changed[list][0]);
        is_refused(changed);
    }
    auto changed = sample_json();
    auto& taken = changed["keys"][0]["taken"];
    taken.push_back(taken[0]);
    is_refused(changed);
    auto text = sample_json().dump();
    BOOST_CHECK_THROW(decode("{\"version\": 1," + text.substr(1)), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_cut_is_an_error) {
    const auto file = encode_memory(sample());
    for (std::size_t size = 0; size + 1 < file.size(); ++size)
        BOOST_CHECK_THROW(decode_machine_memory(Bytes(file).first(size)), std::runtime_error);
    auto longer = file;
    longer.push_back('x');
    BOOST_CHECK_THROW(decode_machine_memory(longer), std::runtime_error);
}
