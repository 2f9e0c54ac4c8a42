// What an operator or a machine may get wrong: PINs, tokens, modules, disks that are full.
#define BOOST_TEST_MODULE stekd_bad_input
#include "expect.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/faulty_module.hpp"

#include <algorithm>
#include <fstream>
#include <sched.h>
#include <thread>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <sys/mount.h>
#include <sys/statvfs.h>

namespace data = boost::unit_test::data;
namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

/// A small file system of its own below the instance, seen by this process and its children only.
class SmallDisk {
  public:
    explicit SmallDisk(fs::path at) : at_(std::move(at)) {
        static const bool private_mounts =
            ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        BOOST_REQUIRE(private_mounts);
        const auto aside = at_.string() + ".aside";
        fs::rename(at_, aside);
        fs::create_directory(at_);
        BOOST_REQUIRE(::mount("stek-test", at_.c_str(), "tmpfs", 0, "size=512k") == 0);
        fs::permissions(at_, fs::status(aside).permissions());
        fs::copy(aside, at_, fs::copy_options::recursive);
        fs::remove_all(aside);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk() { ::umount2(at_.c_str(), MNT_DETACH); }

    /// Till not a byte more can be written.
    void fill() const {
        std::ofstream file(at_ / "ballast", std::ios::binary);
        const std::string page(4096, 'x');
        while (file.write(page.data(), static_cast<std::streamsize>(page.size())).flush())
            ;
    }
    [[nodiscard]] bool is_full() const {
        struct statvfs status {};
        return ::statvfs(at_.c_str(), &status) == 0 && status.f_bavail == 0;
    }
    void make_room() const { fs::remove(at_ / "ballast"); }

  private:
    fs::path at_;
};

}  // namespace

// No PIN is shown and none is tried. It may be mended while stekd waits, so it does.
BOOST_AUTO_TEST_CASE(a_pin_file_that_cannot_be_used_is_named) {
    const StekdInstance instance;
    const auto pin = instance.directory / "pins/vault.pin";
    const auto right = read_file(pin);
    fs::permissions(pin, fs::perms::others_read, fs::perm_options::add);
    expect(instance.once(), 75, pin.string());
    expect(instance.check(), 1, pin.string());
    BOOST_TEST(instance.once().output.find(right.substr(0, 32)) == std::string::npos);
    fs::permissions(pin, fs::perms::owner_read | fs::perms::owner_write);
    write_file(pin, "");
    expect(instance.once(), 75, "is empty");
    fs::remove(pin);
    expect(instance.once(), 75, pin.string());
    write_file(pin, right);
    fs::permissions(pin, fs::perms::owner_read | fs::perms::owner_write);
    expect(instance.once(), 0, "");
}

BOOST_AUTO_TEST_CASE(a_token_without_a_pin_is_not_ready_for_use) {
    const StekdInstance instance;
    for (const auto& token : fs::directory_iterator(instance.directory / "tokens"))
        fs::remove_all(token.path());
    // SoftHSM's free slot is a token that nobody has initialised.
    expect(instance.once(), 75, "stekd-vault");
    instance.edit("token=stekd-vault", "slot-id=0");
    expect(instance.once(), 75, "initialised");
}

BOOST_AUTO_TEST_CASE(a_locked_pin_is_left_alone) {
    Workspace space("locked");
    tests::FaultyModule module(space.path());
    StekdInstance instance(3600, 7200, {"--module", module.path()});
    module.reset_counts();
    module.fail("C_Login", CKR_PIN_LOCKED);
    instance.start();
    BOOST_REQUIRE_MESSAGE(instance.daemon->wait(60s), instance.log());
    BOOST_TEST(instance.daemon->exit_code() == 77);
    BOOST_TEST(instance.log().find("CKR_PIN_LOCKED") != std::string::npos, instance.log());
    BOOST_TEST(module.calls("C_Login") == 1U);
}

BOOST_AUTO_TEST_CASE(a_module_that_is_missing_is_named) {
    const StekdInstance instance;
    for (int uri = 0; uri < 2; ++uri)  // the vault's and the ticket token's
        instance.edit("/usr/lib/softhsm/libsofthsm2.so", "/no/such/module.so");
    expect(instance.once(), 78, "/no/such/module.so");
}

// What is revoked stays so, whatever disk is full and however stekd ends.
BOOST_DATA_TEST_CASE(keys_are_revoked_on_a_full_disk, data::make({"state", "run"}), where) {
    StekdInstance instance;
    const SmallDisk disk(instance.directory / where);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_REQUIRE(eventually([&] { return instance.ring()->records.size() == 2; }, 60s));
    const auto before = instance.ring();
    const auto token = instance.token_directory(before->token_serial);
    disk.fill();
    BOOST_REQUIRE(disk.is_full());
    const auto outcome = run({STEK_STEKCTL, "revoke", "--config", instance.config(), "all"});
    const auto none_is_left = [&] {
        const auto ring = instance.ring();
        return std::ranges::none_of(before->records, [&](const auto& record) {
            return opening_record(*ring, record->name, std::time(nullptr)) != nullptr;
        });
    };
    if (where == std::string("state")) {  // the ring has room: done, and said so
        expect(outcome, 0, "revoked ");
        expect(outcome, 0, "the keys are revoked, but new ones cannot be made yet: ");
        BOOST_TEST(none_is_left());
    } else {
        expect(outcome, 75, "begun, and will be ended: ");
    }
    BOOST_TEST(object_files(token).empty(), "their pairs are gone at once");
    instance.daemon->signal(SIGKILL);
    BOOST_REQUIRE(instance.daemon->wait(20s));
    disk.make_room();
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_TEST(none_is_left());
    BOOST_TEST(sealing_record(*instance.ring(), std::time(nullptr), 0) != nullptr);
}

// Ring and counters; what stekd remembers; both tokens. Where nothing can be written there is no new key, and
// nothing that was there is spoilt; with room again all goes on.
BOOST_DATA_TEST_CASE(a_full_disk_is_survived, data::make({"run", "state", "tokens"}), where) {
    StekdInstance instance(2, 400);
    BOOST_REQUIRE(instance.once().exit_code == 0);
    const SmallDisk disk(instance.directory / where);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto before = instance.ring();
    disk.fill();
    BOOST_REQUIRE(disk.is_full());
    BOOST_TEST(instance.says("trying again"));
    std::this_thread::sleep_for(5s);
    BOOST_TEST(instance.daemon->running());
    BOOST_REQUIRE(instance.ring());  // throws if it is not whole
    disk.make_room();
    BOOST_TEST(instance.says("all is well again"));
    BOOST_TEST(
        eventually([&] { return sealing_record(*instance.ring(), std::time(nullptr), 0) != nullptr; }, 60s));
    const auto after = instance.ring();
    BOOST_TEST(after->token_serial == before->token_serial);
    for (const auto& record : before->records)
        BOOST_TEST(opening_record(*after, record->name, std::time(nullptr)) != nullptr);
    BOOST_TEST(instance.log().find("chain key made") == std::string::npos, instance.log());
    instance.daemon->stop();
    BOOST_TEST(instance.once().exit_code == 0);
}

// Wherever it stops: no half of an instance, and with room again there is one.
BOOST_AUTO_TEST_CASE(init_on_a_full_disk_leaves_nothing_behind) {
    const Workspace space("full");
    const auto disk_at = space.path() / "disk";
    fs::create_directory(disk_at);
    const SmallDisk disk(disk_at);
    const auto init = [&] {
        return run({STEK_STEKCTL, "init", "--dir", disk_at / "instance", "--location", "test", "--provider",
                    STEK_MODULE, "--reader", "nobody"});
    };
    disk.fill();
    // A page more each time, so that it stops at one file after the other.
    for (const std::uintmax_t pages : {0U, 1U, 2U, 3U, 5U, 8U, 12U}) {
        const auto ballast = disk_at / "ballast";
        fs::resize_file(ballast, fs::file_size(ballast) - 4096 * pages);
        const auto outcome = init();
        BOOST_TEST_CONTEXT(pages << " pages free: " << outcome.output) {
            BOOST_TEST(outcome.exit_code != 0);
            BOOST_TEST(!outcome.output.empty());
            BOOST_TEST(!fs::exists(disk_at / "instance"));
        }
        disk.make_room();
        disk.fill();
    }
    disk.make_room();
    const auto outcome = init();
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
}

// Metrics are for people: without room for them keys are made all the same, and it is said once.
BOOST_AUTO_TEST_CASE(metrics_on_a_full_disk_cost_no_key) {
    StekdInstance instance(2, 400);
    const auto metrics = instance.space.path() / "metrics";
    fs::create_directory(metrics);
    instance.edit("[paths]\n", "[paths]\nmetrics = \"" + (metrics / "stekd.prom").string() + "\"\n");
    const SmallDisk disk(metrics);
    disk.fill();
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_TEST(instance.says("metrics"));
    const auto before = instance.ring()->generation;
    BOOST_TEST(eventually([&] { return instance.ring()->generation > before + 2; }, 60s));
    const auto log = instance.log();
    const auto first = log.find("No space left on device");
    BOOST_REQUIRE(first != std::string::npos);
    BOOST_TEST(log.find("No space left on device", first + 1) == std::string::npos, log);
    BOOST_TEST(!fs::exists(metrics / "stekd.prom"));
    disk.make_room();
    BOOST_TEST(eventually([&] { return fs::exists(metrics / "stekd.prom"); }, 30s));
    BOOST_TEST(read_file(metrics / "stekd.prom").find("stekd_seal_until") != std::string::npos);
}
