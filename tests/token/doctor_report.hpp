// What `stekctl doctor --json` said, and its remedies typed.
#pragma once

#include "tests/fixtures/process.hpp"
#include "tests/fixtures/workspace.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace stek::test {

/// What doctor said.
class Report {
  public:
    explicit Report(const Outcome& outcome) : text_(outcome.output) {
        const auto report = nlohmann::json::parse(outcome.output, nullptr, false);
        BOOST_REQUIRE_MESSAGE(report.is_object(), outcome.output);
        findings_ = report["findings"];
        const std::map<std::string, int> codes{{"ok", 0}, {"note", 0}, {"warning", 1}, {"error", 2}};
        BOOST_TEST(outcome.exit_code == codes.at(report["worst"]));
    }
    /// The finding, if there is one, whose text has the part.
    [[nodiscard]] std::optional<nlohmann::json> find(const std::string& severity, const std::string& subject,
                                                     const std::string& part = {}) const {
        for (const auto& finding : findings_)
            if (finding["severity"] == severity && finding["subject"] == subject &&
                finding["what"].get<std::string>().find(part) != std::string::npos)
                return finding;
        return {};
    }
    void has(const std::string& severity, const std::string& subject, const std::string& part = {}) const {
        BOOST_TEST(find(severity, subject, part).has_value(),
                   "no " << severity << " of " << subject << " with \"" << part << "\" in " << text_);
    }
    void lacks(const std::string& severity, const std::string& subject, const std::string& part = {}) const {
        BOOST_TEST(!find(severity, subject, part).has_value(),
                   severity << " of " << subject << " with \"" << part << "\" in " << text_);
    }
    /// Nobody has looked at it.
    void is_silent_of(const std::string& subject) const {
        for (const auto& finding : findings_)
            BOOST_TEST(finding["subject"] != subject, text_);
    }
    [[nodiscard]] std::string remedy(const std::string& severity, const std::string& subject,
                                     const std::string& part = {}) const {
        const auto finding = find(severity, subject, part);
        BOOST_REQUIRE_MESSAGE(finding,
                              "no " << severity << " of " << subject << " with " << part << " in " << text_);
        return finding->at("remedy");
    }
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    std::string text_;
    nlohmann::json findings_;
};

inline void type(const std::string& command) {
    const auto programs = std::filesystem::path(STEK_STEKCTL).parent_path().string();
    // Without what is preloaded under a sanitizer: sh, built without it, does not come up under libtsan.
    const auto outcome = run({"sh", "-c", "PATH=" + programs + ":$PATH; " + command}, {{"LD_PRELOAD", ""}});
    BOOST_TEST(outcome.exit_code == 0, command << ": " << outcome.output);
}

/// Provoked already: it is found, its remedy typed, and it is gone.
inline void heals(const std::function<Report()>& doctor, const std::string& severity,
                  const std::string& subject, const std::string& part) {
    type(doctor().remedy(severity, subject, part));
    BOOST_TEST(eventually([&] { return !doctor().find(severity, subject, part); }, std::chrono::seconds(30)),
               doctor().text());
}

/// All files below: when they were changed last, and how long they are. SoftHSM itself writes its
/// `generation`, a counter, whenever it looks at a token.
inline std::string fingerprint(const std::filesystem::path& directory) {
    return run({"find", directory, "!", "-name", "generation", "-printf", "%P %T@ %s %m\\n"}).output;
}

}  // namespace stek::test
