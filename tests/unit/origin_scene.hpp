// Origins of a small fleet at work on one directory engine, and an engine between them that counts, fails and
// remembers.
#pragma once

#include "daemon/fleet/bundle_check.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/origin.hpp"
#include "tests/fixtures/small_fleet.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <openssl/rand.h>

namespace stek::tests {

using Octets = std::vector<std::uint8_t>;

/// Passes calls on; does `before` and `after` each of them, with its number from 0. Remembers the hourly keys
/// (by their hash) of all bundles that it has stored.
class WatchedEngine final : public fleet::Engine {
  public:
    explicit WatchedEngine(fleet::Engine& behind) : behind_(&behind) {}

    std::function<void(unsigned)> before = [](unsigned) {}, after = [](unsigned) {};
    unsigned calls = 0, writes = 0;
    unsigned lost = 0;  ///< create() that came too late
    void let_be() {
        before = after = [](unsigned) {};
    }
    std::map<std::string, std::set<Octets>> hourly_hashes;

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        return counted([&] {
            const bool stored = behind_->create(bucket, key, value);
            if (stored)
                remember(bucket, key, value);
            else
                ++lost;
            return stored;
        });
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        counted([&] {
            behind_->put(bucket, key, value);
            remember(bucket, key, value);
        });
    }
    std::optional<Octets> get(const std::string& bucket, const std::string& key) override {
        return counted([&] { return behind_->get(bucket, key); });
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        return counted([&] { return behind_->list(bucket, prefix); });
    }
    void erase(const std::string& bucket, const std::string& key) override {
        counted([&] {
            ++writes;
            behind_->erase(bucket, key);
        });
    }
    std::unique_ptr<fleet::Watch> watch(const std::string& bucket) override { return behind_->watch(bucket); }
    [[nodiscard]] std::string name() const override { return "watched"; }

    /// What another way to the same store remembers.
    void join(const WatchedEngine& other) {
        for (const auto& [key, hashes] : other.hourly_hashes)
            hourly_hashes[key].insert(hashes.begin(), hashes.end());
    }
    [[nodiscard]] bool has_one_hourly_key_each() const {
        return std::ranges::all_of(hourly_hashes, [](const auto& entry) { return entry.second.size() == 1; });
    }

  private:
    template <class Call>
    std::invoke_result_t<Call> counted(Call&& call) {
        const unsigned number = calls++;
        before(number);
        if constexpr (std::is_void_v<std::invoke_result_t<Call>>) {
            call();
            after(number);
        } else {
            auto result = call();
            after(number);
            return result;
        }
    }
    void remember(const std::string& bucket, const std::string& key, Bytes value) {
        ++writes;
        if (bucket != fleet::bucket::hourly)
            return;
        const auto bundle =
            fleet::decode_bundle(value.subspan(fleet::frame_head_size, value.size() - fleet::frame_overhead));
        hourly_hashes[key].emplace(bundle.hourly_hash.begin(), bundle.hourly_hash.end());
    }

    fleet::Engine* behind_;
};

/// One origin, from its files to its next kill.
struct OriginAtWork {
    OriginAtWork(const std::filesystem::path& state, const SmallFleet& fleet, const FleetMember& member,
                 fleet::Engine& engine)
        : lists(state, fleet.root(), ""), store(state), origin(member.self, lists, engine, store, fill) {}

    fleet::KnownLists lists;
    fleet::BundleStore store;
    fleet::Origin origin;

    static void fill(std::span<std::uint8_t> bytes) {
        if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
            throw std::runtime_error("RAND_bytes");
    }
    [[nodiscard]] bool alarmed(const std::string& of) const {
        return std::ranges::any_of(origin.report().alarms,
                                   [&](const auto& text) { return text.find(of) != std::string::npos; });
    }
};

inline constexpr std::uint64_t scene_epoch = 500'000;

struct OriginScene {
    test::Workspace workspace{"fleet-origin"};
    std::filesystem::path root = workspace.subdirectory("engine");
    std::unique_ptr<fleet::Engine> directory = fleet::make_directory_engine(root);
    WatchedEngine engine{*directory};
    SmallFleet fleet;
    FleetMember& first = fleet.add_origin("origin-1");
    FleetMember& second = fleet.add_origin("origin-2");
    FleetMember& vault = fleet.add_vault("vault-1", "fra1");
    FleetMember& other_vault = fleet.add_vault("vault-2", "ams1");
    std::filesystem::path state = workspace.subdirectory("state"),
                          other_state = workspace.subdirectory("state");
    daemon::Policy policy;

    OriginScene() { fleet.publish(*directory); }

    [[nodiscard]] OriginAtWork start() { return start(engine); }
    [[nodiscard]] OriginAtWork start(fleet::Engine& at) const { return {state, fleet, first, at}; }
    [[nodiscard]] OriginAtWork start_second() { return start_second(engine); }
    [[nodiscard]] OriginAtWork start_second(fleet::Engine& at) const {
        return {other_state, fleet, second, at};
    }

    [[nodiscard]] daemon::Now at(std::uint64_t epoch) const {
        // The machine has been up for as long as the epochs say, whatever they are.
        const auto up = epoch > scene_epoch ? (epoch - scene_epoch) * policy.period : 0;
        return {fleet::begin_of(epoch, policy) + 7, 1000 + up};
    }
    [[nodiscard]] std::optional<Octets> frame(fleet::KeyId key) const {
        return directory->get(fleet::bucket::hourly, fleet::bundle_key(key));
    }
    void put(fleet::KeyId key, Bytes frame) const {
        directory->put(fleet::bucket::hourly, fleet::bundle_key(key), frame);
    }
    /// As a location would have it: a good one, or nothing.
    [[nodiscard]] std::optional<fleet::Bundle> good(fleet::KeyId key) const {
        const auto found = frame(key);
        if (!found)
            return {};
        const auto scratch = std::filesystem::path(workspace.path()) / "scratch";
        std::filesystem::create_directories(scratch);
        fleet::KnownLists lists(scratch, fleet.root(), "");
        (void)lists.refresh(*directory);
        auto checked = fleet::check_bundle(*found, key, lists, policy);
        return checked.worth == fleet::Worth::good ? std::optional(std::move(checked.bundle)) : std::nullopt;
    }
    [[nodiscard]] std::vector<std::string> names() const {
        return directory->list(fleet::bucket::hourly, "");
    }
    /// A bundle of that origin's, sealed to the vaults by their long-lived keys; not put.
    [[nodiscard]] Octets mint(const FleetMember& origin, fleet::KeyId key) const {
        std::vector<fleet::Recipient> recipients;
        for (const FleetMember* each : {&vault, &other_vault})
            recipients.push_back({each->entry.number, 0, each->entry.sealing_key});
        return fleet::mint(key, {}, recipients, origin.self, origin.entry.number, policy, OriginAtWork::fill);
    }
    void empty_engine() const {
        for (const auto* bucket : {fleet::bucket::hourly, fleet::bucket::fleet})
            std::filesystem::remove_all(root / bucket);
    }
    void retire(FleetMember& member) {
        member.entry.standing = fleet::Standing::retired;
        fleet.publish(*directory);
    }
};

}  // namespace stek::tests
