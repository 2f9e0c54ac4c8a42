// Where PINs come from: a file, a systemd credential, a person.
#include "pkcs11/error.hpp"
#include "pkcs11/uri.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

#include <openssl/ui.h>
#include <sys/stat.h>

namespace stek::pkcs11 {
namespace {

constexpr std::size_t longest_pin = 255;

[[noreturn]] void refuse(const std::string& source, const std::string& why) {
    throw UriError("PIN source " + source + ": " + why);
}

class File {
  public:
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

  private:
    int fd_;
};

Secret read_pin_file(const std::string& source, const std::string& path) {
    const File file(path);
    if (file.get() < 0) {
        refuse(source, std::strerror(errno));
    }
    struct stat status {};
    if (fstat(file.get(), &status) != 0) {
        refuse(source, std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        refuse(source, "is not a regular file");
    }
    if ((status.st_mode & 0007) != 0) {
        refuse(source, "others may use it; take their rights away (chmod o= FILE)");
    }
    Secret pin(longest_pin + 2);
    std::size_t size = 0;
    while (size < pin.size()) {
        const ssize_t got = read(file.get(), pin.data() + size, pin.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            refuse(source, std::strerror(errno));
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
    }
    const std::uint8_t* end = std::find(pin.data(), pin.data() + size, '\n');
    auto length = static_cast<std::size_t>(end - pin.data());
    if (length > longest_pin) {
        refuse(source, "its first line is longer than 255 bytes");
    }
    if (length > 0 && pin.data()[length - 1] == '\r') {
        --length;
    }
    if (length == 0) {
        refuse(source, size == 0 ? "is empty" : "its first line is empty");
    }
    pin.truncate(length);
    if (std::find(pin.data(), pin.data() + length, 0) != pin.data() + length) {
        refuse(source, "its first line holds a NUL");
    }
    return pin;
}

Secret read_credential(const std::string& source, const std::string& name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
        refuse(source, "is not the name of a credential");
    }
    const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
    if (directory == nullptr) {
        refuse(source,
               "no credentials were passed (CREDENTIALS_DIRECTORY is not set; LoadCredential= in the unit)");
    }
    return read_pin_file(source, std::string(directory) + "/" + name);
}

struct FreeUi {
    void operator()(UI* ui) const noexcept { UI_free(ui); }
};

Secret ask(const std::string& source) {
    // UI_OpenSSL() reads standard input when there is no terminal; nobody would be asked.
    if (File(std::string("/dev/tty")).get() < 0) {
        refuse(source, "there is no terminal to ask at");
    }
    Secret pin(longest_pin + 1);
    const std::unique_ptr<UI, FreeUi> ui(UI_new_method(UI_OpenSSL()));
    if (!ui ||
        UI_add_input_string(ui.get(), "PIN of the token: ", 0, reinterpret_cast<char*>(pin.data()), 1,
                            longest_pin) < 0 ||
        UI_process(ui.get()) != 0) {
        refuse(source, "no PIN was given");
    }
    pin.truncate(strnlen(reinterpret_cast<const char*>(pin.data()), longest_pin));
    if (pin.empty()) {
        refuse(source, "no PIN was given");
    }
    return pin;
}

}  // namespace

std::optional<PinSource> PinSource::parse(std::string_view text) {
    constexpr std::string_view file = "file:", credential = "credential:";
    if (text.starts_with('/')) {
        return PinSource{Kind::file, std::string(text)};
    }
    if (text.starts_with(file)) {
        text.remove_prefix(file.size());
        if (text.starts_with("///")) {  // RFC 8089, with an empty authority
            text.remove_prefix(2);
        }
        return PinSource{Kind::file, std::string(text)};
    }
    if (text.starts_with(credential)) {
        return PinSource{Kind::credential, std::string(text.substr(credential.size()))};
    }
    return text == "prompt:" ? std::optional(PinSource{Kind::prompt, {}}) : std::nullopt;
}

Secret read_pin(const std::string& source) {
    if (source.empty()) {
        return {};
    }
    const auto from = PinSource::parse(source);
    if (!from) {
        throw UriError("PIN source is none of file:/PATH, /PATH, credential:NAME and prompt:");
    }
    if (from->kind == PinSource::Kind::prompt) {
        return ask(source);
    }
    if (from->kind == PinSource::Kind::credential) {
        return read_credential(source, from->name);
    }
    if (!from->name.starts_with('/') || from->name.starts_with("//")) {
        refuse(source, "is not an absolute path");
    }
    return read_pin_file(source, from->name);
}

}  // namespace stek::pkcs11
