// SoftHSM 2.6's object file, all numbers 8 bytes, big-endian:
//
//     generation | attribute | attribute | ...
//     attribute: type | kind | value; a value of kind 2 is a number, one of kind 3 a length and the bytes
#include "daemon/unfinished_objects.hpp"

#include "pkcs11/cryptoki.hpp"
#include "pkcs11/secret.hpp"
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

constexpr std::size_t number_size = 8;
constexpr std::size_t enough = 4096;  // a pair's halves have no modulus up to 600 bytes
constexpr std::uint64_t kind_number = 2, kind_bytes = 3;

template <std::size_t Count>
std::array<std::uint8_t, Count * number_size> big_endian(const std::array<std::uint64_t, Count>& numbers) {
    std::array<std::uint8_t, Count * number_size> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(numbers[i / number_size] >> (56 - 8 * (i % number_size)));
    return bytes;
}

bool is_unfinished(const fs::path& object) {
    const Fd file(::open(object.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file)
        throw_errno("cannot open", object);
    Secret content(enough);
    const auto size = ::read(file.get(), content.data(), content.size());
    if (size < 0)
        throw_errno("cannot read", object);
    const std::span<const std::uint8_t> read(std::as_const(content).data(), static_cast<std::size_t>(size));
    if (read.size() <= number_size)
        return true;
    const auto rsa = big_endian<3>({CKA_KEY_TYPE, kind_number, CKK_RSA});
    const auto modulus = big_endian<2>({CKA_MODULUS, kind_bytes});
    const auto no_length = big_endian<1>({0});
    if (std::ranges::search(read, rsa).empty())
        return false;
    // Where there is no modulus, this is the end of the file.
    const auto length = std::ranges::search(read, modulus).end();
    return read.end() - length < std::ptrdiff_t{number_size} ||
           std::equal(no_length.begin(), no_length.end(), length);
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
        else if (path.extension() == ".object" && is_unfinished(path))
            remains.insert(remains.end(), {path, beside(".lock")});
    }
    unsigned removed = 0;
    for (const auto& path : remains)
        removed += fs::remove(path) ? 1 : 0;
    return removed;
}

}  // namespace stek::daemon
