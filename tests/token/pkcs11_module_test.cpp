// A module shared with others: initialised twice, finalised only by the one that initialised it, left alone
// by a child that was forked.
#define BOOST_TEST_MODULE pkcs11_module
#include "pkcs11/error.hpp"
#include "pkcs11/process.hpp"
#include "pkcs11/session.hpp"
#include "tests/fixtures/failing_new.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::pkcs11;
using stek::tests::FaultyModule;
using stek::tests::SoftHsm;

namespace {

/// Runs `child` in a fork. True if it returned true there.
bool in_child(const std::function<bool()>& child) {
    const pid_t pid = fork();
    if (pid == 0) {
        bool good = false;
        try {
            good = child();
        } catch (const std::exception&) {
            good = false;
        }
        _exit(good ? 0 : 1);
    }
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

struct Fixture {
    Fixture() : faulty(hsm.directory()), made(hsm.make_token("first")) {}
    [[nodiscard]] std::shared_ptr<Module> initialize() const {
        return Module::initialize(Library::map(faulty.path()));
    }
    static std::shared_ptr<Token> find(std::shared_ptr<Module> module, const std::string& label) {
        return Token::find(std::move(module), TokenUri::parse("pkcs11:token=" + label));
    }
    SoftHsm hsm;
    FaultyModule faulty;
    tests::TestToken made;
};

}  // namespace

// Read to its end, that would be a handshake that never ends.
BOOST_AUTO_TEST_CASE(a_configuration_that_is_no_file_is_refused) {
    const auto library = Library::map(tests::softhsm_module);
    for (const std::string path : {"/dev/zero", "/dev/null", "/"})
        BOOST_CHECK_EXCEPTION(Module::initialize(library, path), ModuleError, [&](const ModuleError& error) {
            return std::string(error.what()).find(path + " is not a regular file") != std::string::npos;
        });
}

// Else it would never be initialised anew, and no token that comes or goes would be seen any more.
BOOST_FIXTURE_TEST_CASE(a_module_that_could_not_be_finalised_is_still_ours, Fixture) {
    faulty.fail("C_Finalize", CKR_DEVICE_ERROR);
    const auto first = initialize();
    BOOST_TEST(first->finalize());
    faulty.clear();
    const auto second = initialize();
    BOOST_TEST(second->initialized_by_us());
    hsm.make_token("second");
    BOOST_CHECK_THROW(find(second, "second"), TokenError);
    BOOST_TEST(second->finalize());
    const auto third = initialize();
    BOOST_TEST(find(third, "second")->label() == "second");
    BOOST_TEST(third->finalize());
}

// Nor is it another's because there was no memory to hold it in.
BOOST_FIXTURE_TEST_CASE(a_module_that_there_is_no_memory_for_is_still_ours, Fixture) {
    const auto library = Library::map(faulty.path());
    for (const unsigned nth :
         {1U, 2U}) {  // the module's, and its shared_ptr's: SoftHSM lives through no other
        faulty.fail("C_Finalize", CKR_DEVICE_ERROR);
        BOOST_TEST(
            initialize()->finalize());  // so that C_Initialize has nothing to do, and allocates nothing
        faulty.clear();
        {
            const tests::FailingNew lack(nth);
            BOOST_CHECK_THROW(Module::initialize(library), std::bad_alloc);
            BOOST_TEST(tests::FailingNew::has_failed());
        }
        const auto next = initialize();
        BOOST_TEST(next->initialized_by_us());
        BOOST_TEST(next->finalize());
    }
}

BOOST_FIXTURE_TEST_CASE(the_first_user_owns_and_the_second_lives_beside_it, Fixture) {
    const auto first = initialize();
    const auto second = initialize();
    BOOST_TEST(first->initialized_by_us());
    BOOST_TEST(!second->initialized_by_us());
    const auto token = find(second, "first");
    BOOST_TEST(!second->finalize());
    BOOST_TEST(faulty.calls("C_Finalize") == 0U);
    Session session(token, Access::read_only);
    std::array<std::uint8_t, 16> bytes{};
    session.random(bytes);
    BOOST_TEST(second->usable_here());
}

BOOST_FIXTURE_TEST_CASE(nothing_is_finalised_that_was_not_asked_for, Fixture) {
    {
        const auto module = initialize();
        Session session(find(module, "first"), Access::read_only);
    }
    for (const char* function : {"C_Finalize", "C_Logout", "C_CloseAllSessions"}) {
        BOOST_TEST(faulty.calls(function) == 0U, function);
    }
    BOOST_TEST(!initialize()->initialized_by_us());
}

BOOST_FIXTURE_TEST_CASE(a_new_token_is_seen_after_initialising_anew, Fixture) {
    const auto module = initialize();
    const auto token = find(module, "first");
    hsm.make_token("second");
    BOOST_CHECK_THROW(find(module, "second"), TokenError);
    BOOST_TEST(module->finalize());
    BOOST_TEST(!module->finalize());
    BOOST_TEST(!module->usable_here());
    BOOST_TEST(faulty.calls("C_Finalize") == 1U);
    const auto anew = initialize();
    BOOST_TEST(anew->initialized_by_us());
    BOOST_TEST(find(anew, "second")->label() == "second");
    BOOST_CHECK_THROW(Session(token, Access::read_only), Error);  // of the dead module
}

BOOST_FIXTURE_TEST_CASE(a_session_that_outlives_its_module_makes_no_call, Fixture) {
    const auto module = initialize();
    {
        Session session(find(module, "first"), Access::read_only);
        BOOST_TEST(module->finalize());
        std::array<std::uint8_t, 16> bytes{};
        BOOST_CHECK_THROW(session.random(bytes), Error);
    }
    BOOST_TEST(faulty.calls("C_CloseSession") == 0U);
    BOOST_TEST(faulty.calls("C_GenerateRandom") == 0U);
}

BOOST_FIXTURE_TEST_CASE(another_user_that_finalises_leaves_errors_and_no_crash, Fixture) {
    const auto module = initialize();
    const auto token = find(module, "first");
    Session session(token, Access::read_only);
    SoftHsm::finalize();
    std::array<std::uint8_t, 16> bytes{};
    BOOST_CHECK_EXCEPTION(session.random(bytes), Error,
                          [](const Error& error) { return error.rv() == CKR_CRYPTOKI_NOT_INITIALIZED; });
    BOOST_TEST(session.spent());
}

BOOST_FIXTURE_TEST_CASE(a_fork_is_noticed_and_makes_no_call_with_the_parents_handles, Fixture) {
    const auto module = initialize();
    const auto token = find(module, "first");
    Session session(token, Access::read_only);
    const std::uint64_t before = faulty.total_calls();
    BOOST_TEST(in_child([&] {
        std::array<std::uint8_t, 16> bytes{};
        bool refused = false;
        try {
            session.random(bytes);
        } catch (const Error& error) {
            refused = error.rv() == CKR_CRYPTOKI_NOT_INITIALIZED;
        }
        CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
        CK_RV rv = CKR_OK;
        const std::size_t written = session.encrypt(mechanism, 1, bytes, bytes, rv);
        bool login_refused = false;
        try {
            token->login(session, Secret(4));
        } catch (const Error&) {
            login_refused = true;
        }
        { const Session gone(std::move(session)); }
        return refused && written == 0 && rv == CKR_CRYPTOKI_NOT_INITIALIZED && login_refused &&
               !module->usable_here() && !module->finalize() && !token->offers(CKM_AES_GCM, 0);
    }));
    BOOST_TEST(faulty.total_calls() == before);
    std::array<std::uint8_t, 16> bytes{};
    session.random(bytes);  // the parent's is as it was
}

BOOST_FIXTURE_TEST_CASE(a_child_initialises_for_itself, Fixture) {
    const auto library =
        Library::map(faulty.path());  // as a server does: mapped before, initialised after the fork
    BOOST_TEST(in_child([&] {
        const auto module = Module::initialize(library);
        Session session(find(module, "first"), Access::read_only);
        std::array<std::uint8_t, 16> bytes{};
        session.random(bytes);
        return module->initialized_by_us() && module->usable_here();
    }));
    const auto module = initialize();
    BOOST_TEST(module->initialized_by_us());
    BOOST_TEST(in_child([&] {
        const auto own = initialize();
        return own->usable_here() && !own->initialized_by_us() && !own->finalize();
    }));
    BOOST_TEST(module->usable_here());
}

BOOST_AUTO_TEST_CASE(a_fork_behind_libcs_back_is_noticed) {
    const auto parent = this_process();
    BOOST_TEST(parent != 0U);
    BOOST_TEST(this_process() == parent);
    const auto pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    BOOST_REQUIRE(pid >= 0);
    if (pid == 0) {
        const auto here = this_process();
        syscall(SYS_exit_group, here != parent && here != 0 && this_process() == here ? 0 : 1);
    }
    int status = -1;
    BOOST_REQUIRE(waitpid(pid, &status, 0) == pid);
    BOOST_TEST(status == 0);
}

BOOST_FIXTURE_TEST_CASE(softhsms_configuration_is_set_for_the_call_only, Fixture) {
    unsetenv("SOFTHSM2_CONF");
    {
        const auto module = Module::initialize(Library::map(faulty.path()), hsm.conf().string());
        BOOST_TEST(find(module, "first")->label() == "first");
        BOOST_TEST(std::getenv("SOFTHSM2_CONF") == nullptr);
        BOOST_TEST(module->finalize());
    }
    setenv("SOFTHSM2_CONF", "/elsewhere", 1);
    const auto module = Module::initialize(Library::map(faulty.path()), hsm.conf().string());
    BOOST_TEST(find(module, "first")->label() == "first");
    BOOST_TEST(std::getenv("SOFTHSM2_CONF") == std::string("/elsewhere"));
}

BOOST_FIXTURE_TEST_CASE(a_failing_initialise_names_the_module, Fixture) {
    faulty.fail("C_Initialize", CKR_FUNCTION_FAILED);
    BOOST_CHECK_EXCEPTION(initialize(), Error, [this](const Error& error) {
        const std::string text = error.what();
        return text == "C_Initialize of the module " + faulty.path() + ": CKR_FUNCTION_FAILED (0x6)";
    });
}
