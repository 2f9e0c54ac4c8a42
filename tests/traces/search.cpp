#include "tests/traces/search.hpp"

#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <unistd.h>

#include <openssl/evp.h>

namespace fs = std::filesystem;

namespace stek::traces {
namespace {

std::string hex(std::string_view bytes, const char* digits) {
    std::string text;
    for (const char byte : bytes) {
        text += digits[static_cast<std::uint8_t>(byte) >> 4];
        text += digits[static_cast<std::uint8_t>(byte) & 15];
    }
    return text;
}

/// Of whole groups of three bytes, so that what follows the key does not matter.
std::string base64(std::string_view bytes) {
    std::string text(bytes.size() / 3 * 4 + 1, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                    reinterpret_cast<const unsigned char*>(bytes.data()),
                    static_cast<int>(bytes.size() / 3 * 3));
    text.pop_back();
    return text;
}

struct Mapping {
    std::uint64_t start, end;
    std::string name;
};

std::vector<Mapping> readable_memory(pid_t process) {
    std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
    std::vector<Mapping> found;
    for (std::string line; std::getline(maps, line);) {
        std::uint64_t start = 0, end = 0;
        char mode = 0;
        int name = 0;
        const int fields = std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %c%*s %*s %*s %*s %n", &start,
                                       &end, &mode, &name);
        // The kernel's own pages cannot be read in this way.
        if (fields == 3 && mode == 'r' && line.find("[v") == std::string::npos)
            found.push_back({start, end, name != 0 ? line.substr(static_cast<std::size_t>(name)) : ""});
    }
    return found;
}

class Memory {
  public:
    explicit Memory(pid_t process)
        : fd_(::open(("/proc/" + std::to_string(process) + "/mem").c_str(), O_RDONLY | O_CLOEXEC)) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { ::close(fd_); }
    /// Shorter, or empty, where nothing is mapped any more.
    [[nodiscard]] std::string read(std::uint64_t from, std::size_t size) const {
        std::string bytes(size, '\0');
        const ssize_t got = ::pread(fd_, bytes.data(), size, static_cast<off_t>(from));
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return bytes;
    }

  private:
    int fd_;
};

/// Whether a directory is there no more, or not for us. Throws if it cannot be listed for another reason.
bool passed_over(const fs::path& directory, const std::error_code& error) {
    if (!error)
        return false;
    if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory ||
        error == std::errc::permission_denied)
        return true;
    throw fs::filesystem_error("cannot be searched", directory, error);
}

/// Each directory by itself: a recursive_directory_iterator that meets one that has gone is at its end, with
/// all that comes after it.
void for_each_file(const fs::path& top, const std::function<void(const fs::path&)>& look) {
    for (std::vector<fs::path> directories{top}; !directories.empty();) {
        const fs::path directory = std::move(directories.back());
        directories.pop_back();
        std::error_code error;
        fs::directory_iterator entry(directory, error);
        while (!passed_over(directory, error) && entry != fs::directory_iterator()) {
            std::error_code gone;
            const auto type = entry->symlink_status(gone).type();
            if (type == fs::file_type::directory)
                directories.push_back(entry->path());
            else if (type == fs::file_type::regular)
                look(entry->path());
            entry.increment(error);
        }
    }
}

}  // namespace

Search::Search(const Needles& needles) {
    for (const auto& [what, key] : needles) {
        const std::string_view bytes(reinterpret_cast<const char*>(key.data()), key.size());
        const auto half = key.size() / 2;
        forms_.push_back({what + " (first half)", std::string(bytes.substr(0, half))});
        forms_.push_back({what + " (second half)", std::string(bytes.substr(half))});
        forms_.push_back({what + " (hexadecimal)", hex(bytes.substr(0, half), "0123456789abcdef")});
        forms_.push_back({what + " (hexadecimal)", hex(bytes.substr(0, half), "0123456789ABCDEF")});
        forms_.push_back({what + " (base64)", base64(bytes.substr(0, half))});
    }
    for (const Form& form : forms_)
        longest_ = std::max(longest_, form.bytes.size());
}

std::vector<std::string> Search::in(std::string_view text) const {
    // One pass for all: memory is large and the forms are many. Forms by their first two bytes.
    std::vector<std::vector<const Form*>> by_start(1U << 16);
    const auto start = [](const char* at) {
        return static_cast<std::size_t>(static_cast<std::uint8_t>(at[0])) << 8 |
               static_cast<std::uint8_t>(at[1]);
    };
    for (const Form& form : forms_)
        by_start[start(form.bytes.data())].push_back(&form);
    std::vector<std::string> found;
    for (std::size_t at = 0; at + 2 <= text.size(); ++at)
        for (const Form* form : by_start[start(text.data() + at)])
            if (text.compare(at, form->bytes.size(), form->bytes) == 0)
                found.push_back(form->what);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

std::vector<std::string> Search::in_memory(pid_t process) const {
    constexpr std::size_t piece = std::size_t{4} << 20;
    const Memory memory(process);
    std::vector<std::string> found;
    std::size_t read = 0;
    for (const Mapping& mapping : readable_memory(process)) {
        // Pieces overlap by the longest form.
        for (std::uint64_t at = mapping.start; at < mapping.end; at += piece) {
            const std::string bytes =
                memory.read(at, std::min<std::size_t>(piece + longest_, mapping.end - at));
            read += bytes.size();
            for (const std::string& what : in(bytes))
                found.push_back(what + " at " + (mapping.name.empty() ? "anonymous memory" : mapping.name));
        }
    }
    if (read < piece / 4)
        throw std::runtime_error("memory of process " + std::to_string(process) + " cannot be read");
    return found;
}

std::vector<std::string> Search::in_files(const fs::path& top) const {
    std::vector<std::string> found;
    for_each_file(top, [&](const fs::path& file) {
        for (const std::string& what : in(file.string() + "\n" + test::read_file(file)))
            found.push_back(what + " in " + file.string());
    });
    return found;
}

std::vector<std::string> Search::in_start(pid_t process) const {
    const std::string proc = "/proc/" + std::to_string(process);
    return in(test::read_file(proc + "/cmdline") + test::read_file(proc + "/environ"));
}

std::string lines(const std::vector<std::string>& found) {
    std::string text;
    for (const auto& line : found)
        text += "\n  " + line;
    return text;
}

}  // namespace stek::traces
