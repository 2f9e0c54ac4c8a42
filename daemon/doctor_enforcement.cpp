// What doctor knows of whether the ticket token keeps its keys in: what stekd's probe found, or one of a
// token that is thrown away.
#include "daemon/access.hpp"
#include "daemon/doctor.hpp"
#include "daemon/init_parts.hpp"
#include "daemon/token_maker.hpp"
#include "provider/file.hpp"

#include <cstdlib>
#include <filesystem>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

void report_weaknesses(Diagnosis& diagnosis, const Site& site, const std::vector<std::string>& weaknesses,
                       const std::string& by) {
    const std::string subject = "enforcement";
    if (weaknesses.empty())
        diagnosis.fine(subject, by + " every attempt to get more out of a key was refused");
    else if (site.config.allow_weak_token)
        diagnosis.warn(subject,
                       by + " the ticket token does not refuse: " + in_a_row(weaknesses) +
                           " (allowed by allow_weak_token)",
                       "use a token that enforces CKA_UNWRAP_TEMPLATE (" + site.names.ticket +
                           "), and take allow_weak_token out of " + site.config.file);
    else
        diagnosis.fail(subject, by + " the ticket token does not refuse: " + in_a_row(weaknesses),
                       "use a token that enforces CKA_UNWRAP_TEMPLATE (" + site.names.ticket + " in " +
                           site.config.file + "); allow_weak_token = true there accepts this one");
}

class ScratchDirectory {
  public:
    ScratchDirectory() : path_((fs::temp_directory_path() / "stekctl-doctor-XXXXXX").string()) {
        if (::mkdtemp(path_.data()) == nullptr)  // 0700
            throw_errno("cannot make", path_);
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    std::string path_;
};

// As `stekctl init` does it: a token that nobody will use, thrown away. The instance's own are not touched.
std::string probe_scratch_token(const Config& config) {
    const ScratchDirectory scratch;
    auto probed = config;
    probed.module_config = scratch.path() + "/softhsm2.conf";
    make_directory(scratch.path() + "/tokens", 0700);
    write_text(probed.module_config, softhsm_conf(scratch.path() + "/tokens"), 0600);
    const auto& path = *config.ticket.module_path();
    {
        TokenMaker maker(path, probed.module_config);
        maker.make(ticket_label, scratch.path() + "/so-pin", scratch.path() + "/pin");
    }
    probed.ticket =
        pkcs11::TokenUri::parse(std::string("pkcs11:token=") + ticket_label + "?module-path=" + path);
    probed.private_pairs = false;
    probe_ticket_token(probed);
    return "a scratch token refused every attempt to get more out of a key";
}

}  // namespace

void diagnose_enforcement(Diagnosis& diagnosis, const Site& site) {
    const auto& status = site.status;
    if (status.health && status.health->tokens_open)
        return report_weaknesses(diagnosis, site, status.weaknesses, "when stekd probed,");
    if (!status.daemon || site.runs())
        return diagnosis.note("enforcement",
                              "stekd that runs, or may run, does not tell what its probe found");
    if (!status.weaknesses.empty())
        return report_weaknesses(diagnosis, site, status.weaknesses, "when stekd last probed,");
    if (softhsm_tokens_directory(site.config.module_config).empty())
        return diagnosis.note("enforcement", "not probed: that takes a login to the token",
                              "stekd --check --config " + site.config.file);
    diagnosis.look(
        "enforcement", [&] { return probe_scratch_token(site.config); },
        "use another PKCS#11 module (module-path of " + site.names.ticket + " in " + site.config.file + ")");
}

}  // namespace stek::daemon
