#include "provider/context.hpp"

#include "pkcs11/process.hpp"
#include "provider/journal.hpp"
#include "provider/timing.hpp"
#include "provider/token_sealer.hpp"

#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace stek {

namespace {

constexpr std::uint64_t asked_again_after_ms = 1000;  // a token that is busy or down

SealerEvents events_of(Process& process) {
    return {
        .key_taken =
            [&process](const RingRecord& record) {
                process.look_after_keys();
                journal::send(journal::Level::info,
                              "took the ticket key of epoch " + std::to_string(record.epoch) + " revision " +
                                  std::to_string(record.revision),
                              {{"STEK_EPOCH", std::to_string(record.epoch)},
                               {"STEK_REVISION", std::to_string(record.revision)}});
            },
        .token_down =
            [](std::string_view reason) {
                journal::send(journal::Level::error,
                              "ticket token down, full handshakes meanwhile: " + std::string(reason),
                              {{"STEK_STATE", "token-down"}, {"STEK_REASON", std::string(reason)}});
            },
        .token_back =
            [] {
                journal::send(journal::Level::notice, "ticket token back", {{"STEK_STATE", "token-back"}});
            },
        .token_error = [&process] { process.counters.token_error(); },
    };
}

}  // namespace

Process::Process(const Settings& settings, const std::shared_ptr<const pkcs11::Library>& library,
                 pkcs11::ProcessNumber number, Process* parent)
    : number(number),
      parent(parent),
      ring(settings.keyring, settings.location),
      counters(settings.stats),
      sealer(std::make_unique<TokenSealer>(settings, library, events_of(*this))),
      housekeeper(settings.keyring, [this] { return tidy_up(); }) {}

NextLook Process::tidy_up() noexcept {
    const auto view = ring.look_now();
    const Moment now = Moment::now();
    if (!sealer->keep_only(view->ring)) {
        return now.boot_ms + asked_again_after_ms;
    }
    return view->ring ? next_end(*view->ring, now) : std::nullopt;
}

void Process::look_after_keys() noexcept {
    const int error = housekeeper.begin();
    if (error != 0 && !not_looked_after_.exchange(true)) {
        journal::tell([&] {
            const std::string reason = std::strerror(error);
            journal::send(
                journal::Level::warning,
                "no thread to be had: keys whose time is over, or that are revoked, stay in this process "
                "until its next handshake: " +
                    reason,
                {{"STEK_STATE", "not-looked-after"}, {"STEK_REASON", reason}});
        });
    }
}

ProviderContext::ProviderContext(const std::map<std::string, std::string>& section) {
    try {
        settings_ = parse_settings(section);
        const auto& path = settings_.token.module_path();
        if (!path) {
            throw SettingsError("token: the URI needs a module-path");
        }
        library_ = pkcs11::Library::map(*path);
        if (settings_.attach != Attach::no && !settings_.module_config.empty()) {
            // It is set around our C_Initialize only: a server may use SoftHSM for itself, with another
            // configuration. Made room for now, while the server is as a rule one thread yet, so that nothing
            // moves then that other threads may be reading.
            if (std::getenv("SOFTHSM2_CONF") == nullptr) {
                setenv("SOFTHSM2_CONF", settings_.module_config.c_str(), 0);
                unsetenv("SOFTHSM2_CONF");
            }
        }
    } catch (const std::exception& error) {
        problem_ = error.what();
        const auto attach = section.find("attach");
        settings_.attach = attach != section.end() && attach->second == "no" ? Attach::no : Attach::yes;
        journal::send(journal::Level::error, "settings refused, no tickets will be made: " + problem_,
                      {{"STEK_STATE", "refused"}, {"STEK_REASON", problem_}});
    }
    vault_ = make_vault_access(settings_);
}

ProviderContext::~ProviderContext() {
    Process* process = process_.load();
    if (process != nullptr && process->number == pkcs11::this_process() && process->housekeeper.stop()) {
        delete process;  // else its thread is held up in the token, or all ends anyway
    }
}

Process* ProviderContext::process() noexcept {
    const auto number = pkcs11::this_process();
    Process* known = process_.load(std::memory_order_acquire);
    if (known != nullptr && known->number == number) {
        return known;
    }
    if (!usable() || settings_.keyring.empty()) {
        return nullptr;
    }
    try {
        auto fresh = std::make_unique<Process>(settings_, library_, number, known);
        if (process_.compare_exchange_strong(known, fresh.get())) {
            return fresh.release();
        }
        return known;  // another thread was first
    } catch (const std::exception&) {
        return nullptr;
    }
}

void ProviderContext::tell_of(const RingReader::View& view) const {
    if (view.state == RingState::absent) {
        journal::send(journal::Level::warning,
                      "no key ring at " + settings_.keyring + ", full handshakes meanwhile",
                      {{"STEK_STATE", "ring-absent"}});
    } else if (view.state == RingState::corrupt) {
        journal::send(
            journal::Level::error,
            "key ring at " + settings_.keyring + " refused" +
                (view.ring ? ", the last good one stays in use: " : ", full handshakes meanwhile: ") +
                view.reason,
            {{"STEK_STATE", "ring-corrupt"}, {"STEK_REASON", view.reason}});
    } else if (view.state == RingState::good) {
        journal::send(
            journal::Level::info,
            "key ring of location " + view.ring->location + " in use, generation " +
                std::to_string(view.ring->generation),
            {{"STEK_STATE", "ring-good"}, {"STEK_GENERATION", std::to_string(view.ring->generation)}});
    }
}

std::shared_ptr<const KeyRing> ProviderContext::ring(Process& process) noexcept {
    const auto view = process.ring.current(coarse_seconds());
    auto seen = process.ring_news_seen.load(std::memory_order_relaxed);
    if (seen != view->news && process.ring_news_seen.compare_exchange_strong(seen, view->news)) {
        journal::tell([&] { tell_of(*view); });
        process.counters.look_for_file();  // the ring comes and goes with its directory
        if (!view->ring) {
            process.sealer->keep_only(nullptr);
        }
    }
    return view->ring;
}

std::shared_ptr<const KeyRing> ProviderContext::newer_ring(Process& process) noexcept {
    return process.ring.look_again(coarse_milliseconds()) ? ring(process) : nullptr;
}

VaultAccess& vault_of(void* provctx) noexcept {
    return static_cast<ProviderContext*>(provctx)->vault();
}

}  // namespace stek
