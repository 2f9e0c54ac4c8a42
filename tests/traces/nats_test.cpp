// What a NATS server's memory has: what parties store there, and nothing of the keys in it.
#define BOOST_TEST_MODULE traces_nats
#include "daemon/fleet/engine_keys.hpp"
#include "tests/traces/known_fleet.hpp"
#include "tests/traces/search.hpp"

#include <algorithm>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::fleet;
using namespace stek::traces;

namespace {

/// The ends of all values that it holds: of their signatures, so of nothing else.
Needles values_in(Engine& engine) {
    Needles ends;
    for (const auto& bucket : {std::string(bucket::fleet), std::string(bucket::hourly),
                               std::string(bucket::pre_keys), bucket::of_location("fra1")})
        for (const auto& key : engine.list(bucket, ""))
            if (const auto value = engine.get(bucket, key)) {
                auto& end = ends[bucket + " " + key];
                std::copy_n(value->end() - end.size(), end.size(), end.begin());
            }
    return ends;
}

std::size_t found_of(const Needles& needles, const std::vector<std::string>& found) {
    return static_cast<std::size_t>(std::ranges::count_if(needles, [&](const auto& needle) {
        return std::ranges::any_of(found, [&](const auto& line) { return line.starts_with(needle.first); });
    }));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_server_s_memory_has_frames_and_no_key_and_goes_with_the_process) {
    KnownFleet scene({tests::NatsHost{}});
    auto& servers = *scene.nats;
    const AtRest rest(scene);
    const auto values = values_in(scene.opened_engine());
    BOOST_TEST(values.size() > 15U);
    Needles both = rest.needles;
    both.insert(values.begin(), values.end());
    const auto memory = Search(both).in_memory(servers.process(0).pid());
    BOOST_TEST(found_of(rest.needles, memory) == 0U, lines(memory));
    BOOST_TEST(found_of(values, memory) == values.size());

    // Its disk has neither, while it runs and when it is gone; nor does it know them again.
    const Search search(both);
    const auto on_disk = [&] {
        std::vector<std::string> found = search.in_files(servers.servers().front().store);
        for (const auto& line : search.in_files(servers.servers().front().directory))
            found.push_back(line);
        return found;
    };
    BOOST_TEST(on_disk().empty(), lines(on_disk()));
    servers.kill(0);
    BOOST_TEST(on_disk().empty(), lines(on_disk()));
    servers.start_all();
    std::size_t left = 1;
    const bool answers = test::eventually([&] {
        try {
            left = values_in(scene.opened_engine()).size();
            return true;
        } catch (const EngineError&) {
            return false;
        }
    });
    BOOST_TEST(answers);
    BOOST_TEST(left == 0U);
}
