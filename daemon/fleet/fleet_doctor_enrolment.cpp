// What doctor sees of a party's place in the lists. Public keys are seen in a token without a login, so that
// a token that was made anew is told from one that is enrolled.
#include "daemon/fleet/fleet_doctor.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/token_keys.hpp"
#include "pkcs11/session.hpp"

#include <cerrno>
#include <filesystem>
#include <optional>
#include <unistd.h>

namespace stek::fleet {
namespace {

using daemon::Diagnosis;

/// What is seen of a party's keys from outside.
struct KeysSeen {
    bool token = false;  ///< it was found, and would tell
    std::optional<Point> signing, sealing;
};

/// One view of all tokens; it is over with this object.
class TokensFromOutside {
  public:
    explicit TokensFromOutside(const FleetConfig& config) {
        try {
            module_ =
                pkcs11::Module::initialize(pkcs11::Library::map(config.module_path()), config.module_config);
        } catch (const std::exception&) {
            module_.reset();  // diagnose_tokens() tells it
        }
    }
    TokensFromOutside(const TokensFromOutside&) = delete;
    TokensFromOutside& operator=(const TokensFromOutside&) = delete;
    ~TokensFromOutside() {
        if (module_)
            module_->finalize();
    }

    [[nodiscard]] KeysSeen keys_in(const pkcs11::TokenUri& uri) const {
        if (!module_)
            return {};
        try {
            pkcs11::Session session(pkcs11::Token::find(module_, uri), pkcs11::Access::read_only);
            return {true, read_public_half(session, Use::signing), read_public_half(session, Use::sealing)};
        } catch (const std::exception&) {
            return {};  // stekd.service has it in a namespace of its own, maybe; diagnose_tokens() tells it
        }
    }

  private:
    std::shared_ptr<pkcs11::Module> module_;
};

class Enrolment {
  public:
    Enrolment(Diagnosis& diagnosis, const daemon::Site& site, const PartyList* list)
        : diagnosis_(diagnosis), site_(site), list_(list) {}

    void judge(const RoleHere& here, const KeysSeen& seen) const {
        const auto who = in_words(here.role, here.name, here.location);
        const auto whose = here.role == Role::machine ? "of location " + here.location : "of the fleet";
        if (list_ == nullptr)
            return fail(here, who + " is not enrolled: no list " + whose + " is known",
                        how_to_enroll(here, site_));
        const auto where = "list " + std::to_string(list_->serial) + " " + whose;
        const Party* party = list_->find(here.name);
        if (party == nullptr)
            fail(here, who + " is not in " + where, how_to_enroll(here, site_));
        else if (party->role != here.role || party->location != here.location)
            fail(here,
                 here.name + " is " + in_words(party->role, party->name, party->location) + " in " + where,
                 how_to_enroll_anew(here, site_));
        else if (party->standing != Standing::active)
            fail(here, who + " is retired by " + where, how_to_enroll_anew(here, site_));
        else if (seen.token && !has_keys_of(*party, here, seen))
            fail(here,
                 who + " is in " + where + ", but its token does not have the keys that are named there",
                 "put the token back from a backup, or " + how_to_enroll_anew(here, site_));
        else
            diagnosis_.fine(here.section,
                            who + " is number " + std::to_string(party->number) + " of " + where +
                                (seen.token ? "" : "; whether by its keys, its token does not tell"));
    }

  private:
    static bool has_keys_of(const Party& party, const RoleHere& here, const KeysSeen& seen) {
        return seen.signing == party.signing_key &&
               (here.role == Role::origin || seen.sealing == party.sealing_key);
    }
    void fail(const RoleHere& here, const std::string& what, const std::string& remedy) const {
        diagnosis_.fail(here.section, what, remedy);
    }

    Diagnosis& diagnosis_;
    const daemon::Site& site_;
    const PartyList* list_;
};

/// Of the one that is kept and the one in the engine.
const PartyList* newer_of(const PartyList* known, const PartyList* seen) {
    if (known == nullptr || seen == nullptr)
        return known != nullptr ? known : seen;
    return seen->serial > known->serial ? seen : known;
}

/// One that is there and was not taken is another fleet's, or damaged.
void look_at_kept_list(Diagnosis& diagnosis, const FleetConfig& config, const KnownLists& known) {
    const auto file = config.state + "/" + KnownLists::fleet_file;
    std::error_code unseen;
    if (known.fleet() == nullptr && std::filesystem::exists(file, unseen))
        diagnosis.fail("lists", file + " is damaged, or not of the fleet whose key is in " + config.root,
                       "put the right root.pem in " + config.root + "; or: mv " + file + " " + file +
                           ".old, and stekd takes the engine's");
}

}  // namespace

void diagnose_enrolment(Diagnosis& diagnosis, const FleetConfig& config, const daemon::Site& site,
                        const Point& root, Engine* engine) {
    if (::access(config.state.c_str(), R_OK | X_OK) != 0 && errno == EACCES)
        return diagnosis.note("lists", config.state + " is for root and stekd", "sudo stekctl doctor");
    try {
        const KnownLists known(config.state, root, config.location_name());
        look_at_kept_list(diagnosis, config, known);
        KnownLists seen("", root, config.location_name());  // of no directory: it keeps nothing
        try {
            if (engine != nullptr)
                seen.refresh(*engine);
        } catch (const EngineError& error) {
            diagnosis.note("lists", error.what());
        }
        const TokensFromOutside tokens(config);
        const auto* fleet = newer_of(known.fleet(), seen.fleet());
        const auto* machines = newer_of(known.machines(), seen.machines());
        for (const auto& here : roles_of(config))
            Enrolment(diagnosis, site, here.role == Role::machine ? machines : fleet)
                .judge(here, tokens.keys_in(*here.uri));
    } catch (const std::exception& error) {
        diagnosis.fail("lists", error.what(), "ls -l " + config.state + "; its files are stekd's own, 0600");
    }
}

}  // namespace stek::fleet
