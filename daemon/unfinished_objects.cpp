// SoftHSM 2.6's object file, all numbers 8 bytes, big-endian:
//
//     generation | attribute | attribute | ...
//     attribute: type | kind | value; a value of kind 1 is a boolean of one byte, one of kind 2 a number
//
// Attributes are in rising order. What looks otherwise is left alone.
#include "daemon/unfinished_objects.hpp"

#include "pkcs11/cryptoki.hpp"
#include "provider/file.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <unistd.h>
#include <vector>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t number_size = 8, attribute_head = 2 * number_size;
constexpr std::uint64_t kind_boolean = 1, kind_number = 2;
constexpr std::size_t enough = 256;  // CKA_TOKEN is the second

using Head = std::array<std::uint8_t, attribute_head>;

constexpr Head head(std::uint64_t type, std::uint64_t kind) {
    Head bytes{};
    for (std::size_t i = 0; i < number_size; ++i) {
        bytes[i] = static_cast<std::uint8_t>(type >> (56 - 8 * i));
        bytes[number_size + i] = static_cast<std::uint8_t>(kind >> (56 - 8 * i));
    }
    return bytes;
}

bool is_unfinished(std::span<const std::uint8_t> object) {
    if (object.size() <= number_size)
        return true;
    const auto attributes = object.subspan(number_size);
    const auto first_is = [&](const Head& wanted) {
        return attributes.size() > wanted.size() &&
               std::equal(wanted.begin(), wanted.end(), attributes.begin());
    };
    if (!first_is(head(CKA_CLASS, kind_number)) && !first_is(head(CKA_KEY_TYPE, kind_number)))
        return false;
    // Not std::ranges::search: clang 14, which the fuzz targets are built with, does not compile libstdc++'s.
    constexpr Head wanted = head(CKA_TOKEN, kind_boolean);
    const auto token = std::search(attributes.begin(), attributes.end(), wanted.begin(), wanted.end());
    return token == attributes.end() || token + attribute_head == attributes.end() ||
           token[attribute_head] == 0;
}

bool is_unfinished_file(const fs::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file)
        throw_errno("cannot open", path);
    std::array<std::uint8_t, enough> content{};
    const auto size = ::read(file.get(), content.data(), content.size());
    if (size < 0)
        throw_errno("cannot read", path);
    return is_unfinished(std::span(content).first(static_cast<std::size_t>(size)));
}

}  // namespace

unsigned remove_unfinished_objects(const std::string& token_directory) {
    std::vector<fs::path> remains;
    for (const auto& entry : fs::directory_iterator(token_directory)) {
        const auto& path = entry.path();
        if (path.stem() == "token")
            continue;
        const auto beside = [&](const char* extension) {
            return fs::path(path).replace_extension(extension);
        };
        if (path.extension() == ".lock" && !fs::exists(beside(".object")))
            remains.push_back(path);
        else if (path.extension() == ".object" && is_unfinished_file(path))
            remains.insert(remains.end(), {path, beside(".lock")});
    }
    unsigned removed = 0;
    for (const auto& path : remains)
        removed += fs::remove(path) ? 1 : 0;
    return removed;
}

}  // namespace stek::daemon
