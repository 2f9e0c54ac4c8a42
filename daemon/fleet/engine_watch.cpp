#include "daemon/fleet/engine_watch.hpp"

#include <algorithm>
#include <system_error>

namespace stek::fleet {
namespace {

constexpr std::uint64_t gathered_for = 200'000, accuracy = 50'000;  // microseconds
constexpr std::uint64_t accuracies_of_a_look = 6;                   // parts of the time between two

void must(int result, const char* what) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), what);
}

}  // namespace

EngineWatch::EngineWatch(sd_event* loop, std::function<void()> due) : loop_(loop), due_(std::move(due)) {
    must(sd_event_add_time_relative(loop_, &gathering_, CLOCK_BOOTTIME, 0, accuracy, on_timer, this),
         "timer");
    must(sd_event_source_set_enabled(gathering_, SD_EVENT_OFF), "timer");
    const auto time = static_cast<std::uint64_t>(between_looks_.count());
    must(sd_event_add_time_relative(loop_, &look_, CLOCK_BOOTTIME, time, time / accuracies_of_a_look,
                                    on_timer, this),
         "timer");
}

EngineWatch::~EngineWatch() {
    while (!places_.empty())
        drop(places_.begin());
    sd_event_source_disable_unref(gathering_);
    sd_event_source_disable_unref(look_);
}

void EngineWatch::drop(std::list<Place>::iterator place) {
    sd_event_source_disable_unref(place->source);
    places_.erase(place);
}

void EngineWatch::watch(Engine& engine, const std::vector<std::string>& buckets) {
    engine_ = buckets.empty() ? nullptr : &engine;
    for (auto place = places_.begin(); place != places_.end();) {
        const auto at = place++;
        if (at->is_broken || std::ranges::find(buckets, at->bucket) == buckets.end())
            drop(at);
    }
    for (const auto& bucket : buckets)
        if (std::ranges::find(places_, bucket, &Place::bucket) == places_.end()) {
            add(engine, bucket);
            gather();  // nobody has told of what came before
        }
}

// The timer stays the one of before where nothing changes: a run each few seconds must not put looks off.
void EngineWatch::look_each(std::chrono::microseconds time) {
    if (time == between_looks_)
        return;
    between_looks_ = time;
    const auto usec = static_cast<std::uint64_t>(time.count());
    must(sd_event_source_set_time_accuracy(look_, std::max<std::uint64_t>(usec / accuracies_of_a_look, 1)),
         "timer");
    must(sd_event_source_set_time_relative(look_, usec), "timer");
    must(sd_event_source_set_enabled(look_, SD_EVENT_ONESHOT), "timer");
}

void EngineWatch::gather() noexcept {
    int enabled = SD_EVENT_OFF;
    if (sd_event_source_get_enabled(gathering_, &enabled) >= 0 && enabled == SD_EVENT_OFF &&
        sd_event_source_set_time_relative(gathering_, gathered_for) >= 0)
        sd_event_source_set_enabled(gathering_, SD_EVENT_ONESHOT);
}

void EngineWatch::add(Engine& engine, const std::string& bucket) {
    auto watch = engine.watch(bucket);
    const int fd = watch->fd();
    auto& place = places_.emplace_back(Place{this, bucket, std::move(watch)});
    const int result = sd_event_add_io(loop_, &place.source, fd, EPOLLIN, on_change, &place);
    if (result < 0) {
        places_.pop_back();
        must(result, "sd_event_add_io");
    }
}

int EngineWatch::on_change(sd_event_source* source, int, std::uint32_t, void* place) noexcept {
    auto& changed = *static_cast<Place*>(place);
    bool has_news = true;
    try {
        has_news = changed.watch->clear();
    } catch (const std::exception&) {
        changed.is_broken = true;  // the next watch() makes another
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    }
    if (has_news)
        changed.owner->gather();
    return 0;
}

int EngineWatch::on_timer(sd_event_source* source, std::uint64_t, void* self) noexcept {
    auto& watch = *static_cast<EngineWatch*>(self);
    if (source == watch.look_) {
        const auto time = static_cast<std::uint64_t>(watch.between_looks_.count());
        if (sd_event_source_set_time_relative(source, time) >= 0)
            sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (watch.engine_ != nullptr)
            watch.engine_->look_afresh();
    }
    try {
        watch.due_();
    } catch (const std::exception&) {
        sd_event_exit(watch.loop_, EXIT_FAILURE);  // no memory, say; systemd starts stekd anew
    }
    return 0;
}

}  // namespace stek::fleet
