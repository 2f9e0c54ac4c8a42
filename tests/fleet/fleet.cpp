#include "tests/fleet/fleet.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"

#include <algorithm>
#include <csignal>
#include <ctime>

namespace stek::tests {

namespace fs = std::filesystem;
using test::eventually;

namespace {

void open_to_all(const std::string& directory) {
    fs::create_directories(directory);
    fs::permissions(directory, static_cast<fs::perms>(0755));
}

}  // namespace

Fleet::Fleet(unsigned period, unsigned session_timeout, std::vector<std::string> origins,
             std::vector<Site> sites, const std::string& disk_size, std::int64_t ago,
             const std::vector<NatsHost>& nats_hosts)
    : FleetPrograms(period, session_timeout, disk_size.empty() ? "engine" : "share/engine", nats_hosts),
      pki(workspace.subdirectory("pki")),
      period_(period),
      session_timeout_(session_timeout),
      origins_(std::move(origins)),
      www_(pki.server("www", {"www.stek.test"})),
      client_(pki) {
    std::signal(SIGPIPE, SIG_IGN);  // a server may close while we write
    if (!disk_size.empty()) {
        disk.emplace(in("share"), disk_size);
        fs::create_directory(engine());
    }
    if (ago != 0)
        environment = clock_off_by(-ago);
    add_root();
    init();
    for (const auto& origin : origins_) {
        add_origin(origin);
        enroll_and_approve("origin", origin, "root");
    }
    for (const auto& site : sites) {
        for (const auto& vault : site.vaults) {
            add_vault(vault, site.name);
            enroll_and_approve("location", vault, "root");
        }
        hold_ceremony(site);
        for (const auto& machine : site.machines)
            enrol_machine(machine, site);
    }
    sites_ = std::move(sites);
    environment = {};
}

void Fleet::hold_ceremony(const Site& site) {
    const auto shares = in(site.name + ".shares");
    fs::create_directory(shares);
    test::Arguments make;
    for (auto further = site.vaults.begin() + 1; further != site.vaults.end(); ++further) {
        done({"ceremony", "offer"}, *further, {"--out", in(*further + ".offer")});
        make.push_back(in(*further + ".offer"));
    }
    make.insert(make.end(), {"--out-dir", shares});
    done({"ceremony", "make"}, site.vaults.front(), make);
    for (auto further = site.vaults.begin() + 1; further != site.vaults.end(); ++further)
        done({"ceremony", "take"}, *further, {shares + "/" + *further + ".share"});
}

void Fleet::enrol_machine(const std::string& machine, const Site& site) {
    add_machine(machine, site.name,
                "readers = [\"www-data\"]\nremake_pins = \"" + host(machine) + "/pins\"\n");
    enroll_and_approve("machine", machine, site.vaults.front());
    openssl_confs_[machine] = write_openssl_conf(machine, site.name);
}

void Fleet::hand_over(TestToken& token, const std::string& party) {
    const auto tokens = host(party) + "/tokens";
    open_to_all(host(party));
    open_to_all(tokens);
    test::write_file(module_config(party), "directories.tokendir = " + tokens +
                                               "\nobjectstore.backend = file\nlog.level = ERROR\n"
                                               "slots.removable = false\n");
    const auto move = [](fs::path& file, const fs::path& to) {
        fs::rename(file, to / file.filename());
        file = to / file.filename();
    };
    move(token.directory, tokens);
    move(token.pin_file, host(party));
}

std::string Fleet::write_openssl_conf(const std::string& machine, const std::string& location) {
    const auto conf = in(machine + ".openssl.cnf");
    test::write_file(conf,
                     "openssl_conf = init\n[init]\nproviders = providers\n[providers]\ndefault = standard\n"
                     "stek = stek\n[standard]\nactivate = 1\n[stek]\nmodule = " STEK_MODULE
                     "\nactivate = 1\ntoken = pkcs11:token=" +
                         machine + "-ticket?module-path=" + softhsm_module +
                         "\nmodule-config = " + module_config(machine) + "\nlocation = " + location +
                         "\nkeyring = " + keyring(machine) + "\n");
    return conf;
}

// --- stekd ---

void Fleet::start(const std::string& name, const test::Environment& environment) {
    const auto log = in(name + ".log." + std::to_string(++starts_[name]));
    auto command = on[name];
    command.insert(command.end(), {STEK_STEKD, "--config", config(name)});
    running_[name] = std::make_unique<test::Process>(command, environment, log);
}

void Fleet::start_all() {
    for (const auto& name : parties())
        if (!runs(name))
            start(name);
}

void Fleet::stop(const std::string& name) {
    running_.at(name)->stop();
}

void Fleet::kill(const std::string& name) {
    running_.at(name)->signal(SIGKILL);
    running_.at(name)->wait(patience);
}

bool Fleet::runs(const std::string& name) const {
    const auto found = running_.find(name);
    return found != running_.end() && found->second->running();
}

bool Fleet::is_ready(const std::string& name) const {
    return test::read_file(in(name + ".log." + std::to_string(starts_.at(name)))).find("ready: ") !=
           std::string::npos;
}

std::string Fleet::log(const std::string& name) const {
    std::string all;
    const auto starts = starts_.find(name);
    for (unsigned i = 1; starts != starts_.end() && i <= starts->second; ++i)
        all += test::read_file(in(name + ".log." + std::to_string(i)));
    return all;
}

std::string Fleet::logs() const {
    constexpr std::size_t enough = 3000;
    std::string all;
    for (const auto& name : parties()) {
        const auto said = log(name);
        all += "--- " + name + (runs(name) ? "" : " (does not run)") + "\n" +
               said.substr(said.size() - std::min(said.size(), enough));
    }
    return all;
}

// --- keys ---

std::uint64_t Fleet::epoch_now() const {
    return policy().epoch_at(std::time(nullptr));
}

std::shared_ptr<const KeyRing> Fleet::ring(const std::string& machine) const {
    return read_ring_file(keyring(machine));
}

std::uint64_t Fleet::newest_epoch(const std::string& machine) const {
    const auto there = ring(machine);
    return there && !there->records.empty() ? there->records.back()->epoch : 0;
}

bool Fleet::is_well(const std::string& machine) const {
    const auto there = ring(machine);
    return there && sealing_record(*there, std::time(nullptr), 0) != nullptr;
}

bool Fleet::all_well() const {
    return std::ranges::all_of(machines(), [this](const auto& machine) { return is_well(machine); });
}

std::uint64_t Fleet::newest_bundle() const {
    std::vector<std::string> names;
    // NATS servers that were started just now have no leader yet.
    const bool answers = eventually(
        [&] {
            try {
                names = open_engine()->list(fleet::bucket::hourly, "");
                return true;
            } catch (const fleet::EngineError&) {
                return false;
            }
        },
        patience);
    BOOST_TEST_REQUIRE(answers, "the engine does not answer");
    std::uint64_t newest = 0;
    for (const auto& name : names)
        if (const auto key = fleet::parse_bundle_key(name))
            newest = std::max(newest, key->epoch);
    return newest;
}

void Fleet::expect_new_keys(const std::vector<std::string>& machines) const {
    auto before = std::max(newest_bundle(), epoch_now());
    for (const auto& machine : machines)
        before = std::max(before, newest_epoch(machine));
    for (const auto& machine : machines)
        BOOST_TEST_REQUIRE(eventually([&] { return newest_epoch(machine) > before; }, patience),
                           machine << " gets no new keys\n"
                                   << logs());
}

// --- the engine ---

std::unique_ptr<fleet::Engine> Fleet::open_engine() const {
    return fleet::open_engine(fleet::load_fleet_config(config("root")), fleet::OpenedBy::stekctl);
}

fleet::Point Fleet::root() const {
    return fleet::read_root_key(in("root.pem"));
}

fleet::KnownLists Fleet::lists(const std::string& location) const {
    fleet::KnownLists lists("", root(), location);
    (void)lists.refresh(*open_engine());
    return lists;
}

// --- servers ---

void Fleet::start_server(const std::string& machine) {
    const test::ServerSetup setup{workspace.subdirectory(machine), openssl_confs_.at(machine), www_,
                                  pki.authority()};
    auto& server = servers_[machine];
    server = std::make_unique<test::Nginx>(setup, test::NginxOptions{.workers = 1});
    server->start();
}

void Fleet::start_servers() {
    for (const auto& machine : machines())
        start_server(machine);
}

test::Connection Fleet::connect(const std::string& machine, int version, const test::SessionPtr& session) {
    test::ClientTerms terms;
    terms.port = server(machine).port();
    terms.version = version;
    terms.session = session;
    auto connection = client_.connect(terms);
    BOOST_REQUIRE_MESSAGE(connection.ok, machine + ": " + connection.error);
    return connection;
}

bool Fleet::resumes(const std::string& from, const std::string& to, int version) {
    const auto first = connect(from, version);
    return connect(to, version, first.session).reused;
}

// --- theft ---

std::string Fleet::steal(const std::string& name, const std::string& to) const {
    fs::create_directories(to);
    for (const auto& what : {config(name), in(name + ".state"), host(name), keyring(name)})
        if (fs::exists(what)) {
            const auto copied = test::run({"cp", "-a", what, to});
            BOOST_REQUIRE_MESSAGE(copied.exit_code == 0, copied.output);
        }
    for (const auto& file : {name + ".toml", name + ".host/softhsm2.conf"}) {
        auto text = test::read_file(to + "/" + file);
        replace_all(text, workspace.path().string(), to);
        test::write_file(to + "/" + file, text);
    }
    return to + "/" + name + ".toml";
}

// --- who there is ---

const Site& Fleet::site(const std::string& name) const {
    return *std::ranges::find(sites_, name, &Site::name);
}

std::vector<std::string> Fleet::machines() const {
    std::vector<std::string> all;
    for (const auto& site : sites_)
        all.insert(all.end(), site.machines.begin(), site.machines.end());
    return all;
}

std::vector<std::string> Fleet::parties() const {
    auto all = origins_;
    for (const auto& site : sites_)
        all.insert(all.end(), site.vaults.begin(), site.vaults.end());
    const auto of_machines = machines();
    all.insert(all.end(), of_machines.begin(), of_machines.end());
    return all;
}

}  // namespace stek::tests
