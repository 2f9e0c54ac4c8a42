// Logging in: once, and never twice with a wrong PIN, because real tokens lock themselves.
#define BOOST_TEST_MODULE pkcs11_login
#include "pkcs11/error.hpp"
#include "pkcs11/session.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

using namespace stek;
using namespace stek::pkcs11;
using stek::tests::FaultyModule;
using stek::tests::SoftHsm;

namespace {

Secret secret(const std::string& text) {
    return Secret::copy_of({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

struct Fixture {
    Fixture() : faulty(hsm.directory()), made(hsm.make_token("stek-vault")) {}
    [[nodiscard]] std::shared_ptr<Token> find() const {
        return Token::find(Module::initialize(Library::map(faulty.path())),
                           TokenUri::parse("pkcs11:token=stek-vault"));
    }
    /// The Cryptoki error of a login, or CKR_OK.
    static CK_RV login(Token& token, Session& session, const Secret& pin) {
        try {
            token.login(session, pin);
        } catch (const Error& error) {
            BOOST_TEST(std::string(error.what()).find("stek-vault") != std::string::npos);
            return error.rv();
        }
        return CKR_OK;
    }
    SoftHsm hsm;
    FaultyModule faulty;
    tests::TestToken made;
};

std::string refusal(Token& token, Session& session, const Secret& pin) {
    try {
        token.login(session, pin);
    } catch (const TokenError& error) {
        return error.what();
    }
    return "logged in";
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_pin_of_the_uri_logs_in_once, Fixture) {
    const auto uri = TokenUri::parse(SoftHsm::uri_with_pin(made, faulty.path()));
    const auto token = Token::find(Module::initialize(Library::map(*uri.module_path())), uri);
    Session session(token, Access::read_write);
    token->login(session, read_pin(*uri.pin_source()));
    token->login(session, read_pin(*uri.pin_source()));
    Session other(token, Access::read_only);
    token->login(other, read_pin(*uri.pin_source()));
    BOOST_TEST(faulty.calls("C_Login") == 1U);
    CK_SESSION_INFO info{};
    BOOST_REQUIRE(token->module().functions().C_GetSessionInfo(other.handle(), &info) == CKR_OK);
    BOOST_TEST(info.state == CKS_RO_USER_FUNCTIONS);
}

BOOST_FIXTURE_TEST_CASE(a_wrong_pin_is_tried_once, Fixture) {
    const auto token = find();
    Session session(token, Access::read_only);
    for (int attempt = 0; attempt < 3; ++attempt) {
        BOOST_TEST(login(*token, session, secret("wrong")) == CKR_PIN_INCORRECT);
    }
    BOOST_TEST(login(*token, session, secret("another")) == CKR_PIN_INCORRECT);
    BOOST_TEST(faulty.calls("C_Login") == 1U);
}

BOOST_FIXTURE_TEST_CASE(nor_is_it_tried_by_another_object_or_after_initialising_anew, Fixture) {
    {
        const auto token = find();
        Session session(token, Access::read_only);
        BOOST_TEST(login(*token, session, secret("wrong-2")) == CKR_PIN_INCORRECT);
    }
    {
        const auto again = find();
        Session session(again, Access::read_only);
        BOOST_TEST(login(*again, session, secret("wrong-2")) == CKR_PIN_INCORRECT);
    }
    SoftHsm::finalize();
    const auto token = find();
    Session session(token, Access::read_only);
    BOOST_TEST(login(*token, session, secret("wrong-2")) == CKR_PIN_INCORRECT);
    BOOST_TEST(faulty.calls("C_Login") == 1U);
    BOOST_TEST(login(*token, session, secret(made.pin)) ==
               CKR_OK);  // the right one, put in its place meanwhile
    BOOST_TEST(faulty.calls("C_Login") == 2U);
}

BOOST_FIXTURE_TEST_CASE(threads_try_a_wrong_pin_once_together, Fixture) {
    const auto token = find();
    std::vector<std::thread> threads;
    std::atomic<int> refused{0};
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            Session session(token, Access::read_only);
            try {
                token->login(session, secret("wrong"));
            } catch (const Error& error) {
                refused += error.rv() == CKR_PIN_INCORRECT ? 1 : 0;
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    BOOST_TEST(refused == 8);
    BOOST_TEST(faulty.calls("C_Login") == 1U);
}

// The workers of a server: forked once the module is mapped, all with the same PIN file, all at once.
BOOST_FIXTURE_TEST_CASE(forked_processes_try_a_wrong_pin_once_together, Fixture) {
    Library::map(faulty.path());
    faulty.reset_counts();
    faulty.sleep("C_Login", std::chrono::milliseconds(100));  // so that they meet there
    const auto workers = [&](const std::string& pin, CK_RV answer) {
        std::vector<pid_t> children;
        for (int i = 0; i < 4; ++i) {
            const pid_t child = fork();
            BOOST_REQUIRE(child >= 0);
            if (child == 0) {
                const auto token = find();
                Session session(token, Access::read_only);
                _exit(login(*token, session, secret(pin)) == answer ? 0 : 1);
            }
            children.push_back(child);
        }
        for (const pid_t child : children) {
            int status = -1;
            BOOST_REQUIRE(waitpid(child, &status, 0) == child);
            BOOST_TEST(status == 0);
        }
    };
    workers("wrong-3", CKR_PIN_INCORRECT);
    BOOST_TEST(faulty.calls("C_Login") == 1U);
    workers("wrong-3", CKR_PIN_INCORRECT);  // as after a reload of the server
    BOOST_TEST(faulty.calls("C_Login") == 1U);
    workers(made.pin, CKR_OK);
    BOOST_TEST(faulty.calls("C_Login") == 5U);
}

BOOST_FIXTURE_TEST_CASE(a_process_killed_while_it_logs_in_holds_up_nobody, Fixture) {
    Library::map(faulty.path());
    faulty.reset_counts();
    faulty.sleep("C_Login", std::chrono::seconds(30));
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        const auto token = find();
        Session session(token, Access::read_only);
        _exit(login(*token, session, secret(made.pin)) == CKR_OK ? 0 : 1);
    }
    while (faulty.calls("C_Login") == 0) {
        usleep(1000);
    }
    const auto token = find();
    Session session(token, Access::read_only);
    BOOST_TEST(refusal(*token, session, secret(made.pin)).find("another process") != std::string::npos);
    BOOST_REQUIRE(kill(child, SIGKILL) == 0);
    BOOST_REQUIRE(waitpid(child, nullptr, 0) == child);
    faulty.clear();
    BOOST_TEST(login(*token, session, secret(made.pin)) == CKR_OK);
}

BOOST_FIXTURE_TEST_CASE(a_locked_pin_stays_alone_and_a_passing_trouble_does_not, Fixture) {
    const auto token = find();
    Session session(token, Access::read_only);
    faulty.fail_nth("C_Login", 1, CKR_DEVICE_ERROR);
    BOOST_TEST(login(*token, session, secret(made.pin)) == CKR_DEVICE_ERROR);
    faulty.fail_nth("C_Login", 1, CKR_PIN_LOCKED);
    BOOST_TEST(login(*token, session, secret(made.pin)) == CKR_PIN_LOCKED);
    BOOST_TEST(login(*token, session, secret(made.pin)) == CKR_PIN_LOCKED);
    BOOST_TEST(faulty.calls("C_Login") == 2U);
}

BOOST_FIXTURE_TEST_CASE(the_last_try_before_the_lock_is_left_to_a_person, Fixture) {
    faulty.token_flags(CKF_USER_PIN_FINAL_TRY);
    const auto token = find();
    Session session(token, Access::read_only);
    BOOST_TEST(refusal(*token, session, secret(made.pin)).find("one PIN try left") != std::string::npos);
    BOOST_TEST(faulty.calls("C_Login") == 0U);
}

BOOST_FIXTURE_TEST_CASE(no_pin_means_the_tokens_own_keypad_or_nothing, Fixture) {
    {
        const auto token = find();
        Session session(token, Access::read_only);
        BOOST_TEST(refusal(*token, session, Secret()) ==
                   "token stek-vault wants a PIN and none was given (pin-source)");
        BOOST_TEST(faulty.calls("C_Login") == 0U);
    }
    faulty.token_flags(0, CKF_LOGIN_REQUIRED);
    {
        const auto token = find();
        Session session(token, Access::read_only);
        token->login(session, Secret());
        BOOST_TEST(faulty.calls("C_Login") == 0U);
    }
    faulty.token_flags(CKF_PROTECTED_AUTHENTICATION_PATH);
    const auto token = find();
    Session session(token, Access::read_only);
    BOOST_TEST(login(*token, session, Secret()) != CKR_OK);  // SoftHSM has no keypad
    BOOST_TEST(faulty.calls("C_Login") == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_login_of_another_user_of_the_module_is_used, Fixture) {
    const auto token = find();
    Session session(token, Access::read_only);
    auto& functions = token->module().functions();
    std::string pin = made.pin;
    BOOST_REQUIRE(functions.C_Login(session.handle(), CKU_USER, reinterpret_cast<CK_UTF8CHAR*>(pin.data()),
                                    pin.size()) == CKR_OK);
    token->login(session, secret("not even looked at"));
    BOOST_TEST(faulty.calls("C_Login") == 1U);
}
