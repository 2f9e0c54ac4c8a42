// Everything that can happen to a location: time, clocks, reboots, losses, kills, and hourly keys that come,
// come late or never come.
#pragma once

#include "plan_rest.hpp"

namespace stek::test {

/// An origin whose keys reach a location in time, late or never, now and then in a further revision. Its
/// clock is right.
class Origin {
  public:
    explicit Origin(std::uint64_t seed) : random_(seed * 31 + 7) {}

    /// What has arrived by that epoch is added; what is long over is dropped.
    void deliver(daemon::HourlyKeys& hourly, std::uint64_t epoch) {
        std::erase_if(hourly.at_hand, [&](const auto& id) { return id.epoch + keeps < epoch; });
        for (auto e = epoch > keeps ? epoch - keeps : 0; e <= epoch + minted_ahead; ++e) {
            auto [fate, is_new] = fates_.try_emplace(e, Fate::in_time);
            if (is_new)
                fate->second = draw(0, 9) < 6 ? Fate::in_time : draw(0, 1) == 0 ? Fate::late : Fate::never;
            if (fate->second == Fate::late && e <= epoch && draw(0, 2) == 0)
                fate->second = Fate::in_time;
            if (fate->second == Fate::in_time && draw(0, 19) == 0)
                ++revisions_[e];
            const daemon::KeyId key{e, revisions_[e]};
            if (fate->second == Fate::in_time && std::ranges::count(hourly.at_hand, key) == 0)
                hourly.at_hand.push_back(key);
        }
    }

  private:
    enum class Fate { in_time, late, never };
    static constexpr std::uint64_t minted_ahead = 3, keeps = 2;

    int draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

    std::map<std::uint64_t, Fate> fates_;
    std::map<std::uint64_t, std::uint32_t> revisions_;
    std::mt19937_64 random_;
};

enum class HourlyKeysFrom { itself, origin };

class Chaos {
  public:
    Chaos(std::uint64_t seed, daemon::Policy policy, HourlyKeysFrom source = HourlyKeysFrom::itself)
        : world(seed, policy), right_time_(world.now.wall), origin_(seed), random_(seed * 77 + 1) {
        if (source == HourlyKeysFrom::itself)
            return;
        // At the ceremony the location got the chain key that the others have, some time ago.
        const auto begun = world.epoch() - static_cast<std::uint64_t>(between(0, 3'000'000 / 7));
        world.hourly.made_here = false;
        world.chain = ChainPosition{begun, begun};
        world.chains_made = 1;
    }

    std::int64_t between(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
    }

    bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

    void pass(std::int64_t seconds) {
        world.now.wall += seconds;
        right_time_ += seconds;
        world.now.boot += static_cast<std::uint64_t>(seconds);
    }

    void pass_time(std::int64_t periods = 2) {
        pass(between(0, static_cast<std::int64_t>(world.policy.period) * periods));
    }

    /// Forward or back, near or far, or before 1970.
    void jump_clock() {
        const auto period = static_cast<std::int64_t>(world.policy.period);
        const std::int64_t reach = chance(0.5) ? 13 * period : 400 * 86400LL;
        world.now.wall = std::max<std::int64_t>(world.now.wall + between(-reach, reach), -100);
    }

    void set_clock_right() { world.now.wall = right_time_; }

    /// Without a battery the clock begins at 1970, until it is set.
    void reboot() {
        const auto uptime = static_cast<std::uint64_t>(between(1, 100));
        right_time_ += between(10, 1000);
        if (chance(0.1))
            world.reboot_with_ring(uptime);
        else
            world.reboot(uptime);
        if (chance(0.5))
            world.token_pairs.clear();  // on tmpfs too
        world.now.wall = chance(0.5) ? static_cast<std::int64_t>(uptime) : right_time_;
    }

    void something_happens() {
        switch (between(0, 9)) {
            case 0:
            case 1:
                jump_clock();
                break;
            case 2:
            case 3:
            case 4:
                set_clock_right();
                break;
            case 5:
                reboot();
                break;
            case 6:
                world.lose_ring();
                break;
            case 7:  // stopped for days
                pass(between(1, 20) * 86400);
                break;
            default:
                break;
        }
    }

    /// Until it has come to rest.
    void run(double kill_chance) {
        for (int kills = 0; kills < 6; ++kills) {
            try {
                receive();
                world.run(kill_chance);
                return;
            } catch (const Killed&) {
                if (chance(0.3))
                    pass_time();
                if (chance(0.3))
                    something_happens();
            }
        }
        receive();
        world.run();
    }

    PlanWorld world;

  private:
    void receive() {
        if (!world.hourly.made_here)
            origin_.deliver(world.hourly, world.policy.epoch_at(right_time_));
    }

    std::int64_t right_time_;
    Origin origin_;
    std::mt19937_64 random_;
};

}  // namespace stek::test
