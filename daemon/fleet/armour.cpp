#include "daemon/fleet/armour.hpp"

#include "daemon/error_queue.hpp"
#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/frame.hpp"

#include <memory>

#include <openssl/pem.h>

namespace stek::fleet {
namespace {

constexpr char label[] = "STEKD ENROLMENT REQUEST";

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

struct OpenSslFree {
    void operator()(void* what) const noexcept { OPENSSL_free(what); }
};
template <class Value>
using Owned = std::unique_ptr<Value, OpenSslFree>;

}  // namespace

std::string armour_request(Bytes frame) {
    const EmptyQueue queue;
    const Bio out(BIO_new(BIO_s_mem()), BIO_free);
    if (!out || PEM_write_bio(out.get(), label, "", frame.data(), static_cast<long>(frame.size())) <= 0)
        throw FrameError("enrolment request: libcrypto makes no text of it");
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

std::vector<std::uint8_t> unarmour_request(std::string_view text) {
    const EmptyQueue queue;
    if (text.size() > largest_armoured)
        throw FrameError("enrolment request: a text of " + std::to_string(text.size()) +
                         " bytes, more than " + std::to_string(largest_armoured));
    const Bio in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
    char *name = nullptr, *header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (!in || PEM_read_bio(in.get(), &name, &header, &data, &size) != 1)
        throw FrameError("enrolment request: not one, or cut short (it begins with \"-----BEGIN " +
                         std::string(label) + "-----\" and ends with an END of that kind)");
    const Owned<char> owned_name(name), owned_header(header);
    const Owned<unsigned char> owned_data(data);
    if (std::string_view(name) != label || *header != '\0')
        throw FrameError("enrolment request: something else in its place");
    return {data, data + size};
}

std::vector<std::uint8_t> read_armoured_request(const std::string& path) {
    const auto text = read_up_to(path, largest_armoured);
    if (text.size() > largest_armoured)
        throw FrameError(path + " is too large for an enrolment request");
    return unarmour_request({reinterpret_cast<const char*>(text.data()), text.size()});
}

}  // namespace stek::fleet
