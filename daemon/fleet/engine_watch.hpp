// The engine's buckets on the event loop: tells when there may be something new.
#pragma once

#include "daemon/fleet/engine.hpp"

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include <systemd/sd-event.h>

namespace stek::fleet {

/// Changes come in flocks, a thousand pairs at the beginning of an epoch: one call for those of 0.2 s. And
/// one each minute, a look, for an engine may tell nothing: what was read before does not count then. In the
/// loop's thread.
class EngineWatch {
  public:
    /// `due` is called from the loop, which must outlive this object; it may call watch(). Throws
    /// std::system_error.
    EngineWatch(sd_event* loop, std::function<void()> due);
    EngineWatch(const EngineWatch&) = delete;
    EngineWatch& operator=(const EngineWatch&) = delete;
    ~EngineWatch();

    /// From now on these; those that are watched already go on, the others end. For one that is new there is
    /// a call, as if it had changed. The engine has to live until this is called with no bucket, or with
    /// another engine. Throws EngineError, std::system_error; looks come all the same.
    void watch(Engine& engine, const std::vector<std::string>& buckets);

    static constexpr std::chrono::seconds longest_look{60};
    /// From the next one on: where epochs are short, a change that is not told may not wait a minute. Throws
    /// std::system_error.
    void look_each(std::chrono::microseconds time);

  private:
    struct Place {
        EngineWatch* owner;
        std::string bucket;
        std::unique_ptr<Watch> watch;
        sd_event_source* source = nullptr;
        bool is_broken = false;
    };
    void drop(std::list<Place>::iterator place);
    void add(Engine& engine, const std::string& bucket);
    void gather() noexcept;
    static int on_change(sd_event_source*, int, std::uint32_t, void* place) noexcept;
    static int on_timer(sd_event_source*, std::uint64_t, void* self) noexcept;

    sd_event* loop_;
    Engine* engine_ = nullptr;
    std::function<void()> due_;
    std::list<Place> places_;
    sd_event_source* gathering_ = nullptr;
    sd_event_source* look_ = nullptr;
    std::chrono::microseconds between_looks_ = longest_look;
};

}  // namespace stek::fleet
