#include "tests/nats/nats_scene.hpp"

#include <chrono>
#include <filesystem>
#include <map>

namespace stek::tests {
namespace {

constexpr std::chrono::seconds healed_within(30);

}  // namespace

void NatsScene::start_all() {
    fleet.start_all();
    for (const auto& machine : fleet.machines())
        start_load(machine);
}

void NatsScene::expect_healed_in_time(const std::string& after) {
    const auto begin = std::chrono::steady_clock::now();
    fleet.expect_new_keys(fleet.machines());
    const auto took = std::chrono::steady_clock::now() - begin;
    BOOST_TEST_MESSAGE(after << ": new keys everywhere after "
                             << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms");
    BOOST_TEST((took < healed_within), after << ": not healed in time\n" << fleet.logs());
    expect_healed();
    check_one_bundle_each();
}

/// The frames under the bundles' keys in the origins' own directories: what each signed or took.
void NatsScene::check_one_bundle_each() const {
    std::map<std::string, std::string> seen;
    for (const auto* origin : {"o1", "o2"})
        for (const auto& file :
             std::filesystem::directory_iterator(fleet.in(std::string(origin) + ".state/bundles"))) {
            if (file.path().extension() == ".minted")
                continue;
            const auto text = test::read_file(file.path());
            const auto [first, is_new] = seen.try_emplace(file.path().filename(), text);
            BOOST_TEST((is_new || first->second == text),
                       "two bundles " << file.path().filename() << ", one of them " << origin << "'s");
        }
    BOOST_TEST(!seen.empty());
}

}  // namespace stek::tests
