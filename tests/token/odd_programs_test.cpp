// Programs that do what few do, and work without the provider. Each case in a process of its own.
#define BOOST_TEST_MODULE odd_programs
#include "pkcs11/cryptoki.hpp"
#include "provider/ring_file.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <csignal>
#include <cstdlib>
#include <dlfcn.h>
#include <iterator>
#include <pthread.h>
#include <string>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/tls1.h>
#include <sys/resource.h>
#include <sys/wait.h>

using namespace stek::tests;

extern "C" int SSL_library_of_others();  // other_libssl.cpp

namespace {

constexpr unsigned patience = 30;  // seconds

struct World {
    World() {
        ring.add_current();
        conf = ring.write_conf(ring.section({{"attach", "yes"}}));
    }
    void load() const { BOOST_REQUIRE(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1); }
    /// A full handshake and a resumed one.
    [[nodiscard]] bool serves(SSL_CTX* server) const {
        const Ctx client = client_ctx(TLS1_3_VERSION);
        const Handshake first = connect(client.get(), server, nullptr, "a.example");
        return first.done && !first.ticket.empty() &&
               ring.ring().records.front()->name == name_in(first.ticket) &&
               connect(client.get(), server, first.session.get(), "a.example").resumed;
    }
    static stek::KeyName name_in(const std::vector<std::uint8_t>& ticket) {
        stek::KeyName name{};
        std::copy_n(ticket.begin(), name.size(), name.begin());
        return name;
    }
    mutable KnownRing ring;
    std::string conf;
    Identity identity{"a.example"};
};

}  // namespace

// The unwinding would end in a function that is noexcept, and with it the process.
BOOST_AUTO_TEST_CASE(a_thread_is_cancelled_in_a_handshake) {
    const World world;
    world.load();
    struct Job {
        Ctx server, client = client_ctx(TLS1_3_VERSION);
        bool done = false;
    } job{server_ctx(world.identity)};
    // Stands for another thread, at that moment.
    SSL_CTX_set_client_hello_cb(
        job.server.get(),
        [](SSL*, int*, void*) {
            pthread_cancel(pthread_self());
            return SSL_CLIENT_HELLO_SUCCESS;
        },
        nullptr);
    pthread_t thread{};
    BOOST_REQUIRE(pthread_create(
                      &thread, nullptr,
                      [](void* of) -> void* {
                          auto& its = *static_cast<Job*>(of);
                          its.done = connect(its.client.get(), its.server.get()).done;
                          pthread_testcancel();
                          return nullptr;
                      },
                      &job) == 0);
    void* how = nullptr;
    BOOST_REQUIRE(pthread_join(thread, &how) == 0);
    BOOST_TEST(how == PTHREAD_CANCELED);
    BOOST_TEST(job.done);
    SSL_CTX_set_client_hello_cb(job.server.get(), nullptr, nullptr);
    BOOST_TEST(world.serves(job.server.get()));
}

// As in a unit with LimitFSIZE=0. SoftHSM writes to its files where it may, as root may.
BOOST_AUTO_TEST_CASE(a_process_may_write_no_file) {
    const World world;
    world.load();
    const Ctx server = server_ctx(world.identity);
    BOOST_TEST(in_child([&] {
                   const rlimit nothing{};
                   ::setrlimit(RLIMIT_FSIZE, &nothing);
                   return world.serves(server.get()) ? 0 : 1;
               }) == 0);
}

// Handlers of the program run while ours hold what a child must not inherit held by another thread.
BOOST_AUTO_TEST_CASE(a_fork_handler_of_the_program_s_frees_and_makes_contexts) {
    static SSL_CTX* context = nullptr;
    static const auto renew = [] {
        SSL_CTX_free(context);
        context = SSL_CTX_new(TLS_server_method());
    };
    pthread_atfork(nullptr, renew, renew);  // before the provider's
    const World world;
    world.load();
    renew();
    const Ctx server = server_ctx(world.identity);
    BOOST_TEST(world.serves(server.get()));
    pthread_atfork(renew, renew, renew);  // and after them
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(in_child([&] {
                       ::alarm(patience);
                       return world.serves(server.get()) ? 0 : 1;
                   }) == 0);
        BOOST_TEST(world.serves(server.get()));
    }
}

// This program is linked to a library, before libssl, that has functions of the same names
// (other_libssl.cpp).
BOOST_AUTO_TEST_CASE(another_library_has_functions_of_the_same_names) {
    const World world;
    world.load();
    const Ctx server = server_ctx(world.identity);
    BOOST_REQUIRE(SSL_library_of_others() == 1);
    void* const first = dlsym(RTLD_DEFAULT, "SSL_get_num_tickets");
    BOOST_REQUIRE((first != dlsym(dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD), "SSL_get_num_tickets")));
    BOOST_TEST(world.serves(server.get()));
}

namespace {

/// A server's context in a library context of its own.
struct OwnLibrary {
    explicit OwnLibrary(const World& world) {
        BOOST_REQUIRE(OSSL_LIB_CTX_load_config(context, world.conf.c_str()) == 1);
        server.reset(SSL_CTX_new_ex(context, nullptr, TLS_server_method()));
        BOOST_REQUIRE(SSL_CTX_use_certificate(server.get(), world.identity.certificate.get()) == 1);
        BOOST_REQUIRE(SSL_CTX_use_PrivateKey(server.get(), world.identity.key.get()) == 1);
    }
    OwnLibrary(const OwnLibrary&) = delete;
    OwnLibrary& operator=(const OwnLibrary&) = delete;
    ~OwnLibrary() {
        server.reset();
        OSSL_LIB_CTX_free(context);
    }
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    Ctx server;
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_provider_is_in_a_library_context_of_the_program_s_only) {
    const World world;
    {
        const OwnLibrary own(world);
        BOOST_TEST(world.serves(own.server.get()));
    }
    // Who was served by it goes on, though it is gone.
    const Ctx server = server_ctx(world.identity);
    BOOST_TEST(world.serves(server.get()));
}

// The configuration is loaded into the default context while the provider is being made in another.
BOOST_AUTO_TEST_CASE(the_provider_is_in_two_library_contexts) {
    const World world;
    ::setenv("OPENSSL_CONF", world.conf.c_str(), 1);
    ::alarm(patience);
    const OwnLibrary own(world);
    BOOST_TEST(world.serves(own.server.get()));
    const Ctx server = server_ctx(world.identity);
    BOOST_TEST(world.serves(server.get()));
    ::alarm(0);
}

// SoftHSM is locked in a child whose parent had another thread in it; the child wants to go on all the same.
BOOST_AUTO_TEST_CASE(another_part_of_the_program_uses_the_token_while_it_forks) {
    const World world;
    world.load();
    const Ctx server = server_ctx(world.identity);
    BOOST_REQUIRE(world.serves(server.get()));
    void* const library = dlopen(softhsm_module, RTLD_NOW);
    BOOST_REQUIRE(library != nullptr);
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST* functions = nullptr;
    BOOST_REQUIRE(get(&functions) == CKR_OK);
    CK_SLOT_ID slots[8];
    CK_ULONG count = std::size(slots);
    BOOST_REQUIRE(functions->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK);
    std::jthread other([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            CK_SESSION_HANDLE session = 0;
            if (functions->C_OpenSession(slots[0], CKF_SERIAL_SESSION, nullptr, nullptr, &session) == CKR_OK)
                functions->C_CloseSession(session);
        }
    });
    constexpr int forks = 60;
    int hung = 0;
    for (int i = 0; i < forks; ++i) {
        const pid_t child = fork();
        if (child == 0)
            _exit(0);
        int status = 0;
        bool ended = false;
        for (unsigned j = 0; !ended && j < 100 * patience; ++j) {
            ended = waitpid(child, &status, WNOHANG) == child;
            if (!ended)
                usleep(10'000);
        }
        if (!ended) {
            ++hung;
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            break;
        }
        BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    BOOST_TEST(hung == 0);
}

BOOST_AUTO_TEST_CASE(openssl_is_ended_by_the_program_which_lives_on) {
    const int status = in_child([] {
        World world;
        world.load();
        {
            const Ctx server = server_ctx(world.identity);
            if (!world.serves(server.get()))
                return 2;
        }
        auto later = stek::copy_of(world.ring.ring());
        ++later.generation;
        const stek::Secret file = stek::encode_ring(later);
        OPENSSL_cleanup();
        stek::replace_ring_file(world.ring.path(), file.bytes(), {});
        sleep(2);  // it is looked at each second
        unlink(world.ring.path().c_str());
        sleep(2);
        _exit(0);
    });
    BOOST_TEST(status == 0);
}
