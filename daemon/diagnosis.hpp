// What `stekctl doctor` found: findings, how bad the worst is, and how they are shown.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace stek::daemon {

enum class Severity {
    fine,
    note,     ///< worth knowing; nothing need be done
    warning,  ///< works, but less well or less safely than it should
    error,    ///< something does not work
};
/// "ok", "note", "warning", "error".
const char* name_of(Severity severity) noexcept;

struct Finding {
    Severity severity = Severity::fine;
    std::string subject;  ///< what was looked at: "key ring", "nginx"
    std::string what;     ///< what was seen, in plain words; never a secret
    std::string remedy;   ///< what to type, or to change in which file; empty only where nothing is wrong
};

class Diagnosis {
  public:
    void fine(const std::string& subject, const std::string& what);
    void note(const std::string& subject, const std::string& what, const std::string& remedy = {});
    void warn(const std::string& subject, const std::string& what, const std::string& remedy);
    void fail(const std::string& subject, const std::string& what, const std::string& remedy);
    void add(Finding finding) { findings_.push_back(std::move(finding)); }

    /// What `check` returns is fine, what it throws (std::exception) is an error. Returns whether it was
    /// fine.
    bool look(const std::string& subject, const std::function<std::string()>& check,
              const std::string& remedy);

    [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }
    [[nodiscard]] Severity worst() const noexcept;

  private:
    std::vector<Finding> findings_;
};

/// "a, b, c", for what is found of several.
std::string in_a_row(const std::vector<std::string>& words);

/// One line a finding, "ok    key ring: ...", its remedy below it, indented.
std::string diagnosis_text(const Diagnosis& diagnosis);
/// docs/doctor.schema.json describes it.
std::string diagnosis_json(const Diagnosis& diagnosis);

/// exit_ok, exit_warnings or exit_errors.
int exit_code_for(Severity worst) noexcept;

}  // namespace stek::daemon
