// A fleet of real programs: stekctl and stekd on configurations, SoftHSM tokens and an engine directory of
// the test's own.
#pragma once

#include "tests/fixtures/process.hpp"
#include "tests/fixtures/softhsm.hpp"
#include "tests/fixtures/workspace.hpp"

#include <filesystem>
#include <list>
#include <map>
#include <stdexcept>
#include <string>

#include <boost/test/unit_test.hpp>

namespace stek::tests {

using test::Arguments;
using test::Outcome;

class FleetPrograms {
  public:
    explicit FleetPrograms(unsigned period = 3600, unsigned session_timeout = 7200)
        : period_(period), session_timeout_(session_timeout) {
        std::filesystem::create_directory(in("engine"));
    }

    [[nodiscard]] std::string in(const std::string& name) const { return workspace.path() / name; }
    [[nodiscard]] std::string engine(const std::string& name = "") const { return in("engine/" + name); }

    // Each makes the configuration NAME, and its token of that label.
    void add_root(const std::string& name = "root") {
        write_config(name, "[root]\nuri = \"" + pinned(name) + "\"\n");
    }
    void add_origin(const std::string& name) {
        write_config(name, "[origin]\nname = \"" + name + "\"\nuri = \"" + pinned(name) + "\"\n");
    }
    void add_vault(const std::string& name, const std::string& location) {
        write_config(name, "[location]\nname = \"" + location + "\"\nvault = \"" + name + "\"\nuri = \"" +
                               pinned(name) + "\"\n");
    }
    void add_machine(const std::string& name, const std::string& location) {
        write_config(name, "[machine]\nname = \"" + name + "\"\nlocation = \"" + location + "\"\nuri = \"" +
                               pinned(name) + "\"\nticket = \"" +
                               SoftHsm::uri(softhsm.make_token(name + "-ticket")) +
                               "\"\nprivate_pairs = false\nkeyring = \"" + in(name + ".keyring") + "\"\n");
    }
    void write_config(const std::string& name, const std::string& sections) {
        test::write_file(config(name),
                         "period = " + std::to_string(period_) +
                             "\nsession_timeout = " + std::to_string(session_timeout_) +
                             "\n[engine]\ndirectory = \"" + in("engine") + "\"\nroot = \"" + in("root.pem") +
                             "\"\n" + sections + "[paths]\nmodule_config = \"" + softhsm.conf().string() +
                             "\"\nprovider = \"" STEK_MODULE "\"\nstate = \"" + in(name + ".state") +
                             "\"\ncontrol = \"" + in(name + ".control") + "\"\n");
    }
    [[nodiscard]] std::string config(const std::string& name) const { return in(name + ".toml"); }
    /// The URI of a token that is made by the first call.
    std::string pinned(const std::string& label) {
        const auto [at, is_new] = tokens_.try_emplace(label);
        if (is_new)
            at->second = softhsm.make_token(label);
        return SoftHsm::uri_with_pin(at->second);
    }
    [[nodiscard]] const TestToken& token(const std::string& label) const { return tokens_.at(label); }

    /// "stekctl fleet WHAT... --config NAME.toml MORE..."
    [[nodiscard]] Outcome fleet(const Arguments& what, const std::string& name, const Arguments& more = {},
                                const std::string& input = {}) const {
        Arguments arguments{STEK_STEKCTL, "fleet"};
        arguments.insert(arguments.end(), what.begin(), what.end());
        arguments.insert(arguments.end(), {"--config", config(name)});
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run(arguments, {}, input);
    }
    /// The same, which must go well; its output.
    std::string done(const Arguments& what, const std::string& name, const Arguments& more = {}) const {
        const auto outcome = fleet(what, name, more);
        BOOST_TEST_INFO(outcome.output);
        BOOST_REQUIRE(outcome.exit_code == 0);
        return outcome.output;
    }

    /// Asks for it, to NAME.request; the fingerprint.
    std::string enroll(const std::string& role, const std::string& name) const {
        std::filesystem::remove(in(name + ".request"));
        const auto output = done({"enroll", role}, name, {"--output", in(name + ".request")});
        return fingerprint_in(output);
    }
    static std::string fingerprint_in(const std::string& output) {
        constexpr std::string_view before = "fingerprint:  ";
        constexpr std::size_t size = 8 * 4 + 7;
        const auto at = output.find(before);
        return at == std::string::npos ? "" : output.substr(at + before.size(), size);
    }
    Outcome approve(const std::string& request, const std::string& at, const std::string& fingerprint) const {
        return fleet({"approve"}, at, {in(request + ".request"), "--fingerprint", fingerprint});
    }
    void enroll_and_approve(const std::string& role, const std::string& name, const std::string& at) const {
        const auto fingerprint = enroll(role, name);
        const auto outcome = approve(name, at, fingerprint);
        BOOST_TEST_INFO(outcome.output);
        BOOST_REQUIRE(outcome.exit_code == 0);
    }

    test::Workspace workspace{"fleet"};
    SoftHsm softhsm;

  private:
    unsigned period_, session_timeout_;
    std::map<std::string, TestToken> tokens_;
};

inline void check_outcome(const Outcome& outcome, int exit_code, const std::string& says) {
    BOOST_TEST_INFO(outcome.output);
    BOOST_TEST(outcome.exit_code == exit_code);
    BOOST_TEST_INFO(outcome.output);
    BOOST_TEST((outcome.output.find(says) != std::string::npos), "it does not say: " << says);
}

}  // namespace stek::tests
