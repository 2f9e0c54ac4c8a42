// Parties of a fleet that stekctl doctor looks at, on real tokens.
#pragma once

#include "doctor_report.hpp"
#include "tests/fixtures/fleet_programs.hpp"

#include <chrono>
#include <memory>

namespace stek::tests {

/// A root, and an engine that holds its list.
struct Fleet : FleetPrograms {
    explicit Fleet(const std::vector<NatsHost>& nats_hosts = {})
        : FleetPrograms(3600, 7200, "engine", nats_hosts) {
        add_root();
        init();
    }
    void add_origin_that_is_enrolled(const std::string& name = "o1") {
        add_origin(name);
        enroll_and_approve("origin", name, "root");
    }
    void add_vault_with_a_chain() {
        add_vault("v1", "fra1");
        enroll_and_approve("location", "v1", "root");
        std::filesystem::create_directory(in("shares"));
        done({"ceremony", "make"}, "v1", {"--out-dir", in("shares")});
    }
    [[nodiscard]] test::Report doctor(const std::string& name, const Arguments& more = {}) const {
        Arguments arguments{STEK_STEKCTL, "doctor", "--json", "--config", config(name)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::Report(test::run(arguments));
    }
    [[nodiscard]] auto doctor_of(const std::string& name) const {
        return [this, name] { return doctor(name); };
    }
    void start(const std::string& name) {
        running[name] = std::make_unique<test::Process>(Arguments{STEK_STEKD, "--config", config(name)},
                                                        test::Environment{}, in(name + ".log"));
    }
    void start_ready(const std::string& name) {
        start(name);
        await_ready(name);
    }
    void await_ready(const std::string& name) const {
        BOOST_REQUIRE_MESSAGE(test::eventually([&] { return log(name).find("ready: ") != std::string::npos; },
                                               std::chrono::seconds(60)),
                              log(name));
    }
    [[nodiscard]] std::string log(const std::string& name) const {
        return test::read_file(in(name + ".log"));
    }
    void edit(const std::string& name, const std::string& from, const std::string& to) const {
        auto text = test::read_file(config(name));
        BOOST_REQUIRE(text.find(from) != std::string::npos);
        replace_all(text, from, to);
        test::write_file(config(name), text);
    }

    std::map<std::string, std::unique_ptr<test::Process>> running;
};

struct Origin : Fleet {
    Origin() { add_origin_that_is_enrolled(); }
};

/// One party of each role; the machine has a reader, and servers with the provider.
struct Whole : Origin {
    Whole() {
        add_vault_with_a_chain();
        add_machine("m1", "fra1", "readers = [\"www-data\"]\n");
        test::write_file(config("m1"),
                         test::read_file(config("m1")) + "server_config = \"" + openssl_conf() + "\"\n");
        test::write_file(openssl_conf(),
                         "openssl_conf = init\n[init]\nproviders = providers\n[providers]\n"
                         "default = standard\nstek = stek\n[standard]\nactivate = 1\n[stek]\n"
                         "activate = 1\nmodule = " STEK_MODULE "\nkeyring = " +
                             keyring("m1") + "\nmodule-config = " + softhsm.conf().string() +
                             "\ntoken = \"pkcs11:token=m1-ticket?module-path=" + softhsm_module + "\"\n");
        for (const auto& directory : {softhsm.directory(), softhsm.tokens()})
            std::filesystem::permissions(directory,
                                         static_cast<std::filesystem::perms>(0755));  // for www-data
        enroll_and_approve("machine", "m1", "v1");
    }
    [[nodiscard]] std::string openssl_conf() const { return in("openssl.cnf"); }
    // The vault first: origins seal to the pre-keys that it leaves.
    void start_all() {
        start("v1");
        BOOST_REQUIRE(test::eventually([&] { return std::filesystem::exists(engine("stek-prekeys")); },
                                       std::chrono::seconds(60)));
        start("o1");
        start("m1");
        for (const auto* name : {"o1", "v1", "m1"})
            await_ready(name);
        BOOST_REQUIRE(test::eventually([&] { return std::filesystem::exists(keyring("m1")); },
                                       std::chrono::seconds(60)));
    }
};

inline void is_well(const test::Report& report, const Arguments& subjects) {
    for (const auto& subject : subjects) {
        report.has("ok", subject);
        report.lacks("warning", subject);
        report.lacks("error", subject);
    }
}

}  // namespace stek::tests
