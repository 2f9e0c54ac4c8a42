// What `stekd --check` prints.
#pragma once

#include "daemon/another_stekd.hpp"
#include "daemon/exit_codes.hpp"

#include <exception>
#include <functional>
#include <iostream>
#include <string>

namespace stek::daemon {

/// One line each, as it is seen.
class CheckReport {
  public:
    /// Runs one check, which returns what it saw or throws what is wrong.
    bool look(const std::string& at, const std::function<std::string()>& check) {
        try {
            const auto seen = check();
            std::cout << "ok    " << at << (seen.empty() ? "" : ": ") << seen << '\n';
            return true;
        } catch (const AnotherStekd&) {
            throw;  // nothing is wrong: who looks may look another way
        } catch (const std::exception& error) {
            std::cout << "FAIL  " << at << ": " << error.what() << '\n';
            ++findings_;
            return false;
        }
    }
    void note(const std::string& at, const std::string& what) {
        std::cout << "note  " << at << ": " << what << '\n';
    }
    [[nodiscard]] int exit_code() const { return findings_ == 0 ? exit_ok : exit_findings; }

  private:
    unsigned findings_ = 0;
};

}  // namespace stek::daemon
