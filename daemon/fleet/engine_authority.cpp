#include "daemon/fleet/engine_authority.hpp"

#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/list_desk.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/init.hpp"
#include "daemon/init_parts.hpp"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr unsigned days_of_authority = 7300, days_of_root = 397;
constexpr char parties_file[] = "nats.json";
constexpr std::size_t most_of_a_file = std::size_t{64} << 20;

bool is_same(const NatsParty& one, const NatsParty& other) {
    return one.role == other.role && one.name == other.name && one.location == other.location;
}

const pkcs11::TokenUri& token_of(const FleetConfig& config) {
    if (!config.nats)
        throw daemon::ConfigError(config.file + ": engine.nats: there must be NATS servers for this");
    if (!config.root_token)
        throw daemon::ConfigError(config.file +
                                  ": root: there must be a section [root], whose token holds, or "
                                  "shall hold, the key that signs certificates");
    return *config.root_token;
}

NatsRole role_named(const std::string& name) {
    for (const auto role : {NatsRole::root, NatsRole::origin, NatsRole::vault, NatsRole::machine})
        if (name == name_of(role))
            return role;
    throw std::runtime_error("no role: " + name);
}

std::vector<NatsParty> load_parties(const std::string& state) {
    const auto path = state + "/" + parties_file;
    if (!fs::exists(path))
        return {};
    try {
        std::vector<NatsParty> parties;
        for (const auto& party : json::parse(read_up_to(path, most_of_a_file)))
            parties.push_back({role_named(party.at("role").get<std::string>()),
                               party.at("name").get<std::string>(), party.at("location").get<std::string>()});
        return parties;
    } catch (const std::exception& error) {
        throw EnrolmentRefused(path + ", who is let into the engine, cannot be read: " + error.what());
    }
}

}  // namespace

EngineAuthority::EngineAuthority(const FleetConfig& config, Missing missing)
    : config_(config), held_(own_state(config)), token_(config, token_of(config)) {
    find_authority(missing);
    parties_ = load_parties(config_.state);
    if (missing == Missing::make)
        make_own_certificate();
}

void EngineAuthority::find_authority(Missing missing) {
    const auto path = config_.nats->tls + "/authority.crt";
    const bool written = fs::exists(path);
    key_ = token_.keys().find(Use::authority);
    if (!key_ && (written || missing == Missing::refuse))
        throw EnrolmentRefused("token " + token_.label() + " holds no key that signs certificates" +
                               (written ? ", but there is " + path : ": stekctl fleet init --nats makes it"));
    if (!key_) {
        token_.keys().destroy(Use::authority, 0);  // half of it is what a kill left
        key_ = token_.keys().make(Use::authority);
        token_.sync();
    }
    if (written) {
        certificate_ = read_certificate(path);
        if (EVP_PKEY_eq(X509_get0_pubkey(certificate_.get()), key_->key.get()) != 1)
            throw daemon::WouldOverwrite(path + " is there already and is not of the key in token " +
                                         token_.label() + "; nothing was done");
        return;
    }
    fs::create_directories(config_.nats->tls);
    certificate_ = make_authority("stekd engine", key_->key.get(), days_of_authority);
    daemon::write_text(path, to_pem(certificate_.get()), 0644);
}

void EngineAuthority::make_own_certificate() {
    const NatsParty root{NatsRole::root, "root", ""};
    const auto tls = nats_tls(config_, root.role);
    if (fs::exists(tls.certificate) && fs::exists(tls.key))
        return;
    fs::remove(tls.key);
    const auto key = make_private_key();
    write_private_key(tls.key, key.get());
    daemon::write_text(tls.certificate, to_pem(certify(root, key.get(), days_of_root).get()), 0644);
}

void EngineAuthority::write_servers(const std::vector<NatsServer>& servers) {
    fs::create_directories(servers_directory());
    write_nats_files(servers_directory(), {servers}, authority(), grants());
}

CertificatePtr EngineAuthority::certify(const NatsParty& party, EVP_PKEY* its_key, unsigned days) {
    if (std::ranges::none_of(parties_, [&](const auto& known) { return is_same(known, party); })) {
        parties_.push_back(party);
        save();
    }
    return issue_to_party(authority(), party, its_key, days);
}

bool EngineAuthority::withdraw(const NatsParty& party) {
    if (std::erase_if(parties_, [&](const auto& known) { return is_same(known, party); }) == 0)
        return false;
    save();
    return true;
}

std::string EngineAuthority::grants() const {
    std::vector<NatsAccess> all;
    for (const auto& party : parties_)
        all.push_back(access_of(party));
    return nats_grants_conf(all);
}

// What the servers are to be told comes first: whoever is remembered has been granted what he may do.
void EngineAuthority::save() {
    if (fs::exists(servers_directory()))
        for (const auto& server : fs::directory_iterator(servers_directory()))
            daemon::write_text(server.path().string() + "/grants.conf", grants(), 0644);
    auto parties = json::array();
    for (const auto& party : parties_)
        parties.push_back(
            {{"role", name_of(party.role)}, {"name", party.name}, {"location", party.location}});
    const auto text = parties.dump(1) + "\n";
    replace_durably(config_.state, parties_file,
                    {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace stek::fleet
