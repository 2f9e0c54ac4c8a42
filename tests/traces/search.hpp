// Looks for keys where none may be: in the memory of processes, in files, in what a process was started with.
#pragma once

#include "tests/traces/known_schedule.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace stek::traces {

/// Finds a key by either half of its bytes, which an AES key schedule has too, and by the start of its
/// hexadecimal and base64 forms.
class Search {
  public:
    explicit Search(const Needles& needles);

    /// What of them is in `text`, once each: "STEK 495512.0 (first half)".
    [[nodiscard]] std::vector<std::string> in(std::string_view text) const;
    /// In what a process can read of its own memory, with where: "[heap]". Needs the right to trace it;
    /// throws std::runtime_error if no memory can be read.
    [[nodiscard]] std::vector<std::string> in_memory(pid_t process) const;
    /// In each regular file below, by path; what goes away meanwhile is passed over, and nothing else. Other
    /// file systems below are searched too.
    [[nodiscard]] std::vector<std::string> in_files(const std::filesystem::path& top) const;
    /// In its arguments and environment.
    [[nodiscard]] std::vector<std::string> in_start(pid_t process) const;

  private:
    struct Form {
        std::string what, bytes;
    };
    std::vector<Form> forms_;
    std::size_t longest_ = 0;
};

/// What was found, a line each, for a test that fails.
std::string lines(const std::vector<std::string>& found);

}  // namespace stek::traces
