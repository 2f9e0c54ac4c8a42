// PINs from files, systemd credentials and a person at a terminal.
#define BOOST_TEST_MODULE pkcs11_pin
#include "pkcs11/error.hpp"
#include "pkcs11/uri.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <pty.h>
#include <string>
#include <termios.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::pkcs11;
namespace fs = std::filesystem;

namespace {

struct Directory {
    Directory() {
        std::string name = (fs::temp_directory_path() / "stek-pin-XXXXXX").string();
        BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Directory() { fs::remove_all(path); }
    std::string write(const std::string& name, const std::string& text, unsigned mode = 0600) const {
        const fs::path file = path / name;
        std::ofstream(file) << text;
        fs::permissions(file, static_cast<fs::perms>(mode));
        return file.string();
    }
    fs::path path;
};

std::string text_of(const Secret& pin) {
    return {reinterpret_cast<const char*>(pin.data()), pin.size()};
}

std::string refusal(const std::string& source) {
    try {
        read_pin(source);
    } catch (const UriError& error) {
        return error.what();
    }
    return "accepted";
}

bool refused_for(const std::string& source, const std::string& reason) {
    const std::string text = refusal(source);
    BOOST_TEST_MESSAGE(text);
    return text.find(source) != std::string::npos && text.find(reason) != std::string::npos &&
           text.find("s3cret") == std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_first_line_of_a_file_is_the_pin, Directory) {
    for (const char* text : {"s3cret", "s3cret\n", "s3cret\r\n", "s3cret\nmore\n"}) {
        const std::string file = write("pin", text);
        BOOST_TEST(text_of(read_pin("file:" + file)) == "s3cret");
        BOOST_TEST(text_of(read_pin("file://" + file)) == "s3cret");
        BOOST_TEST(text_of(read_pin(file)) == "s3cret");
    }
    BOOST_TEST(text_of(read_pin(write("blanks", " a b \n"))) == " a b ");
    BOOST_TEST(read_pin(write("long", std::string(255, 'x'))).size() == 255U);
    BOOST_TEST(read_pin(write("group", "1234", 0640)).size() == 4U);
}

BOOST_FIXTURE_TEST_CASE(unusable_files_are_refused_by_name, Directory) {
    BOOST_TEST(refused_for("file:" + (path / "absent").string(), "No such file"));
    BOOST_TEST(refused_for("file:" + write("empty", ""), "is empty"));
    BOOST_TEST(refused_for("file:" + write("blank", "\ns3cret\n"), "first line is empty"));
    BOOST_TEST(refused_for("file:" + write("nul", std::string("s3cret\0x", 8)), "holds a NUL"));
    BOOST_TEST(refused_for("file:" + write("long", std::string(256, 'x')), "longer than 255"));
    BOOST_TEST(refused_for("file:" + write("huge", std::string(1 << 20, 'x')), "longer than 255"));
    BOOST_TEST(refused_for("file:" + path.string(), "is not a regular file"));
    BOOST_TEST(refused_for("file:/dev/zero", "is not a regular file"));
    BOOST_TEST(refused_for("file:pin", "is not an absolute path"));
    BOOST_TEST(refused_for("file:", "is not an absolute path"));
    BOOST_TEST(refused_for("file://host/pin", "is not an absolute path"));
}

BOOST_FIXTURE_TEST_CASE(a_fifo_is_refused_without_waiting_for_its_writer, Directory) {
    const std::string fifo = (path / "fifo").string();
    BOOST_REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    BOOST_TEST(refused_for("file:" + fifo, "is not a regular file"));
}

BOOST_FIXTURE_TEST_CASE(a_file_that_others_may_use_is_refused, Directory) {
    for (const unsigned mode : {0604U, 0602U, 0601U, 0644U}) {
        BOOST_TEST(refused_for("file:" + write("open", "s3cret", mode), "others may use it"));
    }
}

BOOST_FIXTURE_TEST_CASE(a_credential_comes_from_systemds_directory, Directory) {
    unsetenv("CREDENTIALS_DIRECTORY");
    BOOST_TEST(refused_for("credential:pin", "CREDENTIALS_DIRECTORY"));
    setenv("CREDENTIALS_DIRECTORY", path.c_str(), 1);
    write("pin", "s3cret\n", 0400);
    BOOST_TEST(text_of(read_pin("credential:pin")) == "s3cret");
    BOOST_TEST(refused_for("credential:absent", "No such file"));
    write("open", "s3cret", 0444);
    BOOST_TEST(refused_for("credential:open", "others may use it"));
    for (const char* name : {"", ".", "..", "../pin", "/etc/pin", "a/b"}) {
        BOOST_TEST(refused_for(std::string("credential:") + name, "is not the name of a credential"));
    }
    unsetenv("CREDENTIALS_DIRECTORY");
}

BOOST_AUTO_TEST_CASE(no_source_is_no_pin) {
    BOOST_TEST(read_pin("").empty());
}

BOOST_AUTO_TEST_CASE(a_pin_where_its_source_should_be_is_not_shown) {
    for (const char* source : {"s3cret", "pin:s3cret", "prompt:s3cret", "FILE:/s3cret"}) {
        const std::string text = refusal(source);
        BOOST_TEST(text.find("none of file:/PATH") != std::string::npos, text);
        BOOST_TEST(text.find("s3cret") == std::string::npos, text);
    }
}

BOOST_AUTO_TEST_CASE(a_person_is_asked_with_echo_off) {
    int answer[2];
    BOOST_REQUIRE(pipe(answer) == 0);
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        try {
            const Secret pin = read_pin("prompt:");
            _exit(write(answer[1], pin.data(), pin.size()) == static_cast<ssize_t>(pin.size()) ? 0 : 2);
        } catch (const std::exception&) {
            _exit(1);
        }
    }
    close(answer[1]);
    std::string shown;
    char buffer[256];
    const auto read_more = [&] {
        pollfd ready{terminal, POLLIN, 0};
        const ssize_t got = poll(&ready, 1, 20'000) == 1 ? read(terminal, buffer, sizeof buffer) : -1;
        shown.append(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
        return got > 0;
    };
    while (shown.find("PIN") == std::string::npos && read_more()) {
    }
    BOOST_TEST(shown.find("PIN of the token") != std::string::npos);
    termios state{};
    for (int waited = 0; waited < 20'000;
         ++waited) {  // libcrypto writes the prompt first, then turns echo off
        BOOST_REQUIRE(tcgetattr(terminal, &state) == 0);
        if ((state.c_lflag & ECHO) == 0) {
            break;
        }
        usleep(1000);
    }
    BOOST_TEST((state.c_lflag & ECHO) == 0U);
    BOOST_REQUIRE(write(terminal, "s3cret\n", 7) == 7);
    const ssize_t got = read(answer[0], buffer, sizeof buffer);
    BOOST_TEST(std::string(buffer, got > 0 ? static_cast<std::size_t>(got) : 0) == "s3cret");
    while (read_more()) {
    }
    int status = -1;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
    BOOST_TEST(shown.find("s3cret") == std::string::npos);
    close(terminal);
    close(answer[0]);
}

BOOST_AUTO_TEST_CASE(without_a_terminal_nobody_is_asked) {
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        setsid();
        _exit(refusal("prompt:").find("no terminal") != std::string::npos ? 0 : 1);
    }
    int status = -1;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
}
