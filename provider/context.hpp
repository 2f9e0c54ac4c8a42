// One loaded provider: its settings, and what a process needs to seal and open tickets.
#pragma once

#include "pkcs11/module.hpp"
#include "pkcs11/process.hpp"
#include "provider/counters.hpp"
#include "provider/decline_log.hpp"
#include "provider/housekeeping.hpp"
#include "provider/kdf.hpp"
#include "provider/ring_reader.hpp"
#include "provider/sealer.hpp"
#include "provider/settings.hpp"
#include "provider/timing.hpp"
#include "provider/vault_access.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include <sys/types.h>

namespace stek {

/// Counters whose declines the journal hears of too.
class ToldCounters : public Counters {
  public:
    using Counters::Counters;
    /// In place of the one that counts only.
    void declined(Decline why) noexcept {
        Counters::declined(why);
        log_.declined(why, coarse_seconds());
    }

  private:
    DeclineLog log_;
};

/// What belongs to one process. Never shared with a fork's child: locks may have been held, handles are the
/// parent's.
struct Process {
    Process(const Settings& settings, const std::shared_ptr<const pkcs11::Library>& library,
            pkcs11::ProcessNumber number, Process* parent);

    const pkcs11::ProcessNumber number;
    Process* const
        parent;  ///< of a fork; kept (for leak checkers, too): its locks and handles must not be touched
    RingReader ring;
    ToldCounters counters;
    std::unique_ptr<Sealer> sealer;
    std::atomic<std::uint64_t> ring_news_seen{0};
    Housekeeper housekeeper;  ///< from the first key on; ends before the others

    /// Lets go of what is over or revoked: records of the ring, keys in the token.
    NextLook tidy_up() noexcept;
    /// A key was taken. Says so once if nobody can look after it.
    void look_after_keys() noexcept;

  private:
    std::atomic<bool> not_looked_after_{false};
};

class ProviderContext {
  public:
    /// From the section of openssl.cnf. Settings that are wrong, or a module that cannot be mapped, leave a
    /// context that declines every ticket and says so in the journal: to fall back to keys in the server's
    /// memory would be a weaker key.
    explicit ProviderContext(const std::map<std::string, std::string>& section);
    ~ProviderContext();
    ProviderContext(const ProviderContext&) = delete;
    ProviderContext& operator=(const ProviderContext&) = delete;

    [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
    /// False: the settings were refused; `problem()` says why.
    [[nodiscard]] bool usable() const noexcept { return problem_.empty(); }
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    /// This process's part; made at first use, and anew after a fork. Null if there is no memory, or no ring
    /// is configured.
    Process* process() noexcept;
    /// The ring as of now, telling the journal once of each change. Null: no tickets.
    std::shared_ptr<const KeyRing> ring(Process& process) noexcept;
    /// The ring as it is on disk now, if it was not looked at just now. Null: no tickets, or no newer look.
    std::shared_ptr<const KeyRing> newer_ring(Process& process) noexcept;
    [[nodiscard]] VaultAccess& vault() noexcept { return *vault_; }

  private:
    void tell_of(const RingReader::View& view) const;
    Settings settings_;
    std::string problem_;
    std::shared_ptr<const pkcs11::Library> library_;
    std::unique_ptr<VaultAccess> vault_;
    std::atomic<Process*> process_{nullptr};
};

}  // namespace stek
