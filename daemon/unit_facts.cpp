#include "daemon/unit_facts.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

namespace stek::daemon {
namespace {

constexpr char service[] = "org.freedesktop.systemd1";
constexpr char unit_interface[] = "org.freedesktop.systemd1.Unit";
constexpr char service_interface[] = "org.freedesktop.systemd1.Service";

struct Free {
    void operator()(sd_bus* bus) const noexcept { sd_bus_flush_close_unref(bus); }
    void operator()(sd_bus_message* message) const noexcept { sd_bus_message_unref(message); }
    void operator()(char* text) const noexcept { std::free(text); }
};

void must(int result) {
    if (result < 0)
        throw SystemdSilent(std::string("systemd does not answer: ") + std::strerror(-result));
}

struct Strings {
    char** values = nullptr;
    Strings() = default;
    Strings(const Strings&) = delete;
    Strings& operator=(const Strings&) = delete;
    ~Strings() {
        for (char** value = values; value != nullptr && *value != nullptr; ++value)
            std::free(*value);
        std::free(static_cast<void*>(values));
    }
};

}  // namespace

UnitFacts ask_for_unit(const std::string& unit) {
    if (sd_booted() <= 0)
        throw SystemdSilent("systemd does not run here");
    sd_bus* raw_bus = nullptr;
    must(sd_bus_open_system(&raw_bus));
    const std::unique_ptr<sd_bus, Free> bus(raw_bus);

    // Not GetUnit: what is not running may not be loaded either.
    sd_bus_message* raw_reply = nullptr;
    must(sd_bus_call_method(bus.get(), service, "/org/freedesktop/systemd1",
                            "org.freedesktop.systemd1.Manager", "LoadUnit", nullptr, &raw_reply, "s",
                            unit.c_str()));
    const std::unique_ptr<sd_bus_message, Free> reply(raw_reply);
    const char* path = nullptr;
    must(sd_bus_message_read(reply.get(), "o", &path));

    UnitFacts facts;
    char* raw_state = nullptr;
    must(sd_bus_get_property_string(bus.get(), service, path, unit_interface, "LoadState", nullptr,
                                    &raw_state));
    const std::unique_ptr<char, Free> state(raw_state);
    facts.loaded = std::strcmp(state.get(), "loaded") == 0;
    int changed = 0;
    must(sd_bus_get_property_trivial(bus.get(), service, path, unit_interface, "NeedDaemonReload", nullptr,
                                     'b', &changed));
    facts.changed = changed != 0;
    Strings environment;
    must(sd_bus_get_property_strv(bus.get(), service, path, service_interface, "Environment", nullptr,
                                  &environment.values));
    for (char** value = environment.values; value != nullptr && *value != nullptr; ++value)
        facts.environment.emplace_back(*value);
    return facts;
}

}  // namespace stek::daemon
