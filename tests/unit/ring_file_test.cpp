// Replacing and reading the ring file: old or new, never half; and what is no file at all.
#define BOOST_TEST_MODULE ring_file
#include "provider/ring_file.hpp"

#include "sample_ring.hpp"
#include "tests/fixtures/workspace.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace stek;
using stek::test::sample_ring;

namespace {

struct Fixture {
    test::Workspace workspace{"ring-file"};
    std::string path = workspace.path() / "ring";
    Secret old_ring = encode_ring(sample_ring({{1, 0}}, "here", 1));
    Secret new_ring = encode_ring(sample_ring({{1, 0}, {2, 0}}, "here", 2));

    Fixture() { replace_ring_file(path, old_ring.bytes(), {}); }
    [[nodiscard]] std::uint64_t generation() const {
        const auto ring = read_ring_file(path);
        return ring ? ring->generation : 0;
    }
    [[nodiscard]] std::ptrdiff_t files() const {
        return std::distance(std::filesystem::directory_iterator(workspace.path()), {});
    }
};

mode_t mode_of(const std::string& path) {
    struct stat status {};
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

/// Writes beyond `bytes` of a file fail, as on a full disk.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit low{bytes, before_.rlim_max};
        BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

  private:
    rlimit before_{};
    void (*handler_)(int);
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(replaces_and_gives_access_before_anybody_sees_it, Fixture) {
    const mode_t umask_before = ::umask(077);
    std::uint64_t seen_meanwhile = 0;
    mode_t mode_meanwhile = 0;
    off_t size_meanwhile = 0;
    replace_ring_file(path, new_ring.bytes(), [&](int fd) {
        struct stat status {};
        BOOST_REQUIRE(::fstat(fd, &status) == 0);
        mode_meanwhile = status.st_mode & 07777;
        size_meanwhile = status.st_size;
        seen_meanwhile = generation();
    });
    ::umask(umask_before);
    BOOST_TEST(seen_meanwhile == 1U);
    BOOST_TEST(mode_meanwhile == 0640U);
    BOOST_TEST(size_meanwhile == static_cast<off_t>(new_ring.size()));
    BOOST_TEST(generation() == 2U);
    BOOST_TEST(mode_of(path) == 0640U);
    BOOST_TEST(files() == 1);
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_leaves_the_old_ring, Fixture) {
    {
        const FileSizeLimit limit(300);
        BOOST_CHECK_THROW(replace_ring_file(path, new_ring.bytes(), {}), std::system_error);
    }
    BOOST_TEST(generation() == 1U);
    BOOST_TEST(files() == 1);
}

BOOST_FIXTURE_TEST_CASE(failed_access_leaves_the_old_ring, Fixture) {
    BOOST_CHECK_EXCEPTION(
        replace_ring_file(path, new_ring.bytes(), [](int) { throw std::runtime_error("no ACLs here"); }),
        std::runtime_error, [](const auto& error) { return error.what() == std::string("no ACLs here"); });
    BOOST_TEST(generation() == 1U);
    BOOST_TEST(files() == 1);
}

BOOST_FIXTURE_TEST_CASE(a_rename_that_fails_leaves_nothing_behind, Fixture) {
    const std::string directory = workspace.path() / "occupied";
    std::filesystem::create_directories(directory + "/by something");
    BOOST_CHECK_EXCEPTION(replace_ring_file(directory, new_ring.bytes(), {}), std::system_error,
                          [&](const std::system_error& error) {
                              return std::string(error.what()).find(directory) != std::string::npos;
                          });
    BOOST_TEST(!std::filesystem::exists(directory + ".new"));
    BOOST_CHECK_THROW(replace_ring_file(workspace.path() / "absent" / "ring", new_ring.bytes(), {}),
                      std::system_error);
}

BOOST_FIXTURE_TEST_CASE(what_a_killed_writer_left_is_replaced_and_no_link_followed, Fixture) {
    const std::string victim = workspace.path() / "victim";
    std::ofstream(victim) << "precious";
    BOOST_REQUIRE(::symlink(victim.c_str(), (path + ".new").c_str()) == 0);
    replace_ring_file(path, new_ring.bytes(), {});
    BOOST_TEST(generation() == 2U);
    BOOST_TEST(test::read_file(victim) == "precious");
    BOOST_TEST(!std::filesystem::exists(path + ".new"));
}

BOOST_FIXTURE_TEST_CASE(an_absent_file_is_no_ring, Fixture) {
    BOOST_TEST(read_ring_file(workspace.path() / "absent") == nullptr);
    BOOST_TEST(read_ring_file(path + "/below a file") == nullptr);
}

BOOST_FIXTURE_TEST_CASE(what_is_no_ring_file_is_refused_unread, Fixture) {
    const auto refused = [](const std::string& file, const std::string& reason) {
        BOOST_CHECK_EXCEPTION(read_ring_image(file), RingError, [&](const RingError& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).find(reason) != std::string::npos;
        });
    };
    refused(workspace.path(), "not a regular file");
    refused("/dev/zero", "not a regular file");
    const std::string fifo = workspace.path() / "fifo";
    BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    refused(fifo, "not a regular file");
    const std::string empty = workspace.path() / "empty";
    std::ofstream{empty};
    refused(empty, "empty");
    // Sparse: reading this to its end would need its 64 GB.
    const std::string huge = workspace.path() / "huge";
    std::ofstream{huge};
    std::filesystem::resize_file(huge, std::uintmax_t{1} << 36);
    refused(huge, "68719476736 bytes, more than 1048576");
}

BOOST_FIXTURE_TEST_CASE(a_loop_of_links_is_an_error_of_the_system, Fixture) {
    const std::string loop = workspace.path() / "loop";
    BOOST_REQUIRE(::symlink(loop.c_str(), loop.c_str()) == 0);
    BOOST_CHECK_THROW(read_ring_file(loop), std::system_error);
}

BOOST_FIXTURE_TEST_CASE(a_young_stamp_proves_nothing, Fixture) {
    struct stat status {};
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    const FileStamp stamp = FileStamp::of(status);
    BOOST_TEST((stamp == read_ring_image(path)->stamp));
    BOOST_TEST(!stamp.settled_by(status.st_ctim.tv_sec));
    BOOST_TEST(!stamp.settled_by(status.st_ctim.tv_sec + 1));
    BOOST_TEST(stamp.settled_by(status.st_ctim.tv_sec + 2));
    replace_ring_file(path, new_ring.bytes(), {});
    BOOST_TEST((stamp != read_ring_image(path)->stamp));
}
