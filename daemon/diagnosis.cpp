#include "daemon/diagnosis.hpp"

#include "daemon/exit_codes.hpp"

#include <algorithm>
#include <exception>

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

// As wide as each other, and what is wrong stands out.
const char* mark_of(Severity severity) noexcept {
    switch (severity) {
        case Severity::fine:
            return "ok    ";
        case Severity::note:
            return "note  ";
        case Severity::warning:
            return "WARN  ";
        case Severity::error:
            break;
    }
    return "FAIL  ";
}

// What a token, a server or a file says may hold anything; a line stays a line, and no terminal obeys it.
std::string printable(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    return text;
}

}  // namespace

const char* name_of(Severity severity) noexcept {
    switch (severity) {
        case Severity::fine:
            return "ok";
        case Severity::note:
            return "note";
        case Severity::warning:
            return "warning";
        case Severity::error:
            break;
    }
    return "error";
}

void Diagnosis::fine(const std::string& subject, const std::string& what) {
    add({Severity::fine, subject, what, {}});
}

void Diagnosis::note(const std::string& subject, const std::string& what, const std::string& remedy) {
    add({Severity::note, subject, what, remedy});
}

void Diagnosis::warn(const std::string& subject, const std::string& what, const std::string& remedy) {
    add({Severity::warning, subject, what, remedy});
}

void Diagnosis::fail(const std::string& subject, const std::string& what, const std::string& remedy) {
    add({Severity::error, subject, what, remedy});
}

bool Diagnosis::look(const std::string& subject, const std::function<std::string()>& check,
                     const std::string& remedy) {
    try {
        fine(subject, check());
        return true;
    } catch (const std::exception& error) {
        fail(subject, error.what(), remedy);
        return false;
    }
}

Severity Diagnosis::worst() const noexcept {
    auto worst = Severity::fine;
    for (const auto& finding : findings_)
        worst = std::max(worst, finding.severity);
    return worst;
}

std::string in_a_row(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::string diagnosis_text(const Diagnosis& diagnosis) {
    std::string text;
    for (const auto& finding : diagnosis.findings()) {
        text += mark_of(finding.severity) + printable(finding.subject + ": " + finding.what) + '\n';
        if (!finding.remedy.empty())
            text += "      remedy: " + printable(finding.remedy) + '\n';
    }
    return text;
}

std::string diagnosis_json(const Diagnosis& diagnosis) {
    using nlohmann::ordered_json;
    auto findings = ordered_json::array();
    for (const auto& finding : diagnosis.findings())
        findings.push_back({{"severity", name_of(finding.severity)},
                            {"subject", finding.subject},
                            {"what", finding.what},
                            {"remedy", finding.remedy}});
    const ordered_json out{{"worst", name_of(diagnosis.worst())}, {"findings", findings}};
    // Not all that is quoted need be UTF-8.
    return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

int exit_code_for(Severity worst) noexcept {
    switch (worst) {
        case Severity::fine:
        case Severity::note:
            return exit_ok;
        case Severity::warning:
            return exit_warnings;
        case Severity::error:
            break;
    }
    return exit_errors;
}

}  // namespace stek::daemon
