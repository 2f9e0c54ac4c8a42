// The faulty module itself: others' fault tests lean on it.
#define BOOST_TEST_MODULE faulty_module
#include "tests/fixtures/faulty_module.hpp"

#include "pkcs11/cryptoki.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <string>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

using stek::tests::FaultyModule;
using stek::tests::SoftHsm;
namespace fs = std::filesystem;

namespace {

CK_RV load(const std::string& path, CK_FUNCTION_LIST** functions) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    BOOST_REQUIRE(handle != nullptr);
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
    BOOST_REQUIRE(get != nullptr);
    return get(functions);
}

struct Fixture {
    Fixture() : faulty(hsm.directory()) {
        BOOST_REQUIRE(load(faulty.path(), &functions) == CKR_OK);
        BOOST_REQUIRE(functions->C_Initialize(nullptr) == CKR_OK);
    }
    CK_RV info() const {
        CK_INFO got{};
        return functions->C_GetInfo(&got);
    }
    SoftHsm hsm;
    FaultyModule faulty;
    CK_FUNCTION_LIST* functions = nullptr;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(calls_are_passed_on_and_counted, Fixture) {
    CK_INFO got{};
    BOOST_TEST(functions->C_GetInfo(&got) == CKR_OK);
    BOOST_TEST(std::string(reinterpret_cast<char*>(got.manufacturerID), 7) == "SoftHSM");
    BOOST_TEST(faulty.calls("C_GetInfo") == 1U);
    BOOST_TEST(faulty.calls("C_Initialize") == 1U);
    BOOST_TEST(faulty.total_calls() == 2U);
    faulty.reset_counts();
    BOOST_TEST(faulty.total_calls() == 0U);
    BOOST_CHECK_THROW(faulty.fail("C_GetInfos", CKR_OK), std::invalid_argument);
}

BOOST_FIXTURE_TEST_CASE(the_nth_call_fails_once, Fixture) {
    BOOST_TEST(info() == CKR_OK);
    faulty.fail_nth("C_GetInfo", 2, CKR_DEVICE_ERROR);
    BOOST_TEST(info() == CKR_OK);
    BOOST_TEST(info() == CKR_DEVICE_ERROR);
    BOOST_TEST(info() == CKR_OK);
    faulty.fail_nth_call(3, CKR_DEVICE_MEMORY);
    CK_ULONG slots = 0;
    BOOST_TEST(info() == CKR_OK);
    BOOST_TEST(functions->C_GetSlotList(CK_FALSE, nullptr, &slots) == CKR_OK);
    BOOST_TEST(info() == CKR_DEVICE_MEMORY);
    BOOST_TEST(info() == CKR_OK);
}

BOOST_FIXTURE_TEST_CASE(all_calls_fail_until_cleared, Fixture) {
    faulty.fail("C_GetInfo", CKR_DEVICE_ERROR);
    BOOST_TEST(info() == CKR_DEVICE_ERROR);
    BOOST_TEST(info() == CKR_DEVICE_ERROR);
    CK_ULONG slots = 0;
    BOOST_TEST(functions->C_GetSlotList(CK_FALSE, nullptr, &slots) == CKR_OK);
    faulty.clear();
    BOOST_TEST(info() == CKR_OK);
    faulty.fail_all_calls(CKR_DEVICE_REMOVED);
    BOOST_TEST(info() == CKR_DEVICE_REMOVED);
    BOOST_TEST(functions->C_GetSlotList(CK_FALSE, nullptr, &slots) == CKR_DEVICE_REMOVED);
    faulty.clear();
    BOOST_TEST(info() == CKR_OK);
    BOOST_TEST(faulty.calls("C_GetInfo") == 5U);
}

BOOST_FIXTURE_TEST_CASE(a_call_hangs_as_long_as_told, Fixture) {
    faulty.sleep("C_GetInfo", std::chrono::milliseconds(120));
    const auto begin = std::chrono::steady_clock::now();
    BOOST_TEST(info() == CKR_OK);
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(120)));
}

BOOST_FIXTURE_TEST_CASE(other_processes_are_counted_and_made_to_fail_too, Fixture) {
    int go[2], done[2];
    BOOST_REQUIRE((pipe(go) == 0 && pipe(done) == 0));
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        char word = 0;
        const bool started = info() == CKR_OK && write(done[1], "x", 1) == 1 && read(go[0], &word, 1) == 1;
        _exit(started && info() == CKR_DEVICE_ERROR ? 0 : 1);
    }
    char word = 0;
    BOOST_REQUIRE(read(done[0], &word, 1) == 1);
    faulty.fail("C_GetInfo", CKR_DEVICE_ERROR);
    BOOST_REQUIRE(write(go[1], "x", 1) == 1);
    int status = -1;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
    BOOST_TEST(faulty.calls("C_GetInfo") == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_copy_finds_its_control_file_by_the_environment, Fixture) {
    const fs::path copy = hsm.directory() / "elsewhere.so";
    fs::copy_file(faulty.path(), copy);
    setenv("STEK_FAULTY_CONTROL", (faulty.path() + ".control").c_str(), 1);
    CK_FUNCTION_LIST* other = nullptr;
    BOOST_TEST(load(copy.string(), &other) == CKR_OK);
    unsetenv("STEK_FAULTY_CONTROL");
    CK_INFO got{};
    BOOST_TEST(other->C_GetInfo(&got) == CKR_OK);
    BOOST_TEST(faulty.calls("C_GetInfo") == 1U);
}

BOOST_FIXTURE_TEST_CASE(without_a_control_file_it_does_not_load, Fixture) {
    const fs::path copy = hsm.directory() / "alone.so";
    fs::copy_file(faulty.path(), copy);
    CK_FUNCTION_LIST* other = nullptr;
    BOOST_TEST(load(copy.string(), &other) == CKR_FUNCTION_FAILED);
    BOOST_TEST(other == nullptr);
}

BOOST_FIXTURE_TEST_CASE(every_function_is_there, Fixture) {
    const auto* begin = reinterpret_cast<void* const*>(&functions->C_Initialize);
    const auto* end = reinterpret_cast<void* const*>(functions + 1);
    BOOST_TEST(static_cast<std::size_t>(end - begin) == stek::tests::cryptoki_function_count + 1);
    BOOST_TEST(std::count(begin, end, nullptr) == 0);
}
