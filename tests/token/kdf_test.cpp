#define BOOST_TEST_MODULE kdf
#include "provider/kdf.hpp"

#include "provider/schedule.hpp"
#include "provider/vault.hpp"
#include "provider/vault_access.hpp"
#include "tests/token/known_keys.hpp"

#include <fstream>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::tests;
using nlohmann::json;

namespace stek {

namespace {
VaultAccess* vault_in_use = nullptr;
}

// The provider's entry is not what is tested here: one vault, one algorithm.
VaultAccess& vault_of(void*) noexcept {
    return *vault_in_use;
}

}  // namespace stek

namespace {

const OSSL_ALGORITHM* query(void*, int operation, int* no_store) {
    static const OSSL_ALGORITHM kdfs[] = {{"STEK-KDF", "provider=kdf-test", kdf_functions, nullptr}, {}};
    *no_store = 0;
    return operation == OSSL_OP_KDF ? kdfs : nullptr;
}

int initialize(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out, void** provctx) {
    static const OSSL_DISPATCH provider[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, reinterpret_cast<void (*)(void)>(query)}, {0, nullptr}};
    static int context;
    *out = provider;
    *provctx = &context;
    return 1;
}

template <class T, void (*Free)(T*)>
struct Freed {
    void operator()(T* object) const { Free(object); }
};
using Kdf = std::unique_ptr<EVP_KDF, Freed<EVP_KDF, EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, Freed<EVP_KDF_CTX, EVP_KDF_CTX_free>>;
using LibCtx = std::unique_ptr<OSSL_LIB_CTX, Freed<OSSL_LIB_CTX, OSSL_LIB_CTX_free>>;

/// What a caller sets; each may be left out.
struct Wish {
    std::optional<std::uint64_t> epoch;
    std::optional<std::uint32_t> revision;
    std::optional<std::vector<std::uint8_t>> hourly_key;
    std::optional<std::vector<std::uint8_t>> wrap_key;
    std::optional<std::string> hash;

    /// The parameters point into this object.
    std::vector<OSSL_PARAM> params() {
        std::vector<OSSL_PARAM> list;
        if (epoch)
            list.push_back(OSSL_PARAM_construct_uint64("epoch", &*epoch));
        if (revision)
            list.push_back(OSSL_PARAM_construct_uint32("revision", &*revision));
        if (hourly_key)
            list.push_back(
                OSSL_PARAM_construct_octet_string("hourly-key", hourly_key->data(), hourly_key->size()));
        if (wrap_key)
            list.push_back(OSSL_PARAM_construct_octet_string("wrap-key", wrap_key->data(), wrap_key->size()));
        if (hash)
            list.push_back(OSSL_PARAM_construct_utf8_string("oaep-hash", hash->data(), 0));
        list.push_back(OSSL_PARAM_construct_end());
        return list;
    }
};

struct Fixture {
    Fixture() : made(softhsm.make_token("vault")) {
        Settings settings;
        settings.token = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(made));
        settings.module_config = softhsm.conf().string();
        vault = make_vault_access(settings);
        vault_in_use = vault.get();
        library.reset(OSSL_LIB_CTX_new());
        BOOST_REQUIRE_EQUAL(OSSL_PROVIDER_add_builtin(library.get(), "kdf-test", initialize), 1);
        provider = OSSL_PROVIDER_load(library.get(), "kdf-test");
        BOOST_REQUIRE(provider != nullptr);
        kdf.reset(EVP_KDF_fetch(library.get(), "STEK-KDF", nullptr));
        BOOST_REQUIRE(kdf);
        ERR_clear_error();
    }
    ~Fixture() {
        kdf.reset();
        OSSL_PROVIDER_unload(provider);
        vault.reset();
    }

    void put_chain(Bytes value, ChainPosition at) {
        std::unique_lock<std::mutex> lock;
        auto key = known_chain_key(value, at);
        vault->session(lock).create(key);
    }
    KdfContext context() { return KdfContext(EVP_KDF_CTX_new(kdf.get())); }
    [[nodiscard]] Wish good() const {
        return {7, 1, std::vector<std::uint8_t>(32, 0x48), rsa().spki(), std::nullopt};
    }
    static const RsaPair& rsa() {
        static const RsaPair pair;
        return pair;
    }
    /// Runs it and returns the reason text of the failure; empty if it did not fail.
    std::string failure(Wish wish, std::size_t size = 16) {
        const KdfContext kdf_context = context();
        std::vector<std::uint8_t> out(std::max<std::size_t>(size, 1), 0xEE);
        ERR_clear_error();
        if (EVP_KDF_derive(kdf_context.get(), out.data(), size, wish.params().data()) == 1)
            return {};
        BOOST_TEST((out == std::vector<std::uint8_t>(out.size(), 0xEE)));
        const char* data = nullptr;
        int flags = 0;
        const unsigned long code = ERR_peek_last_error_data(&data, &flags);
        BOOST_TEST(ERR_GET_LIB(code) == ERR_LIB_PROV);
        return (flags & ERR_TXT_STRING) != 0 ? data : "(no text)";
    }

    SoftHsm softhsm;
    TestToken made;
    std::unique_ptr<VaultAccess> vault;
    LibCtx library;
    OSSL_PROVIDER* provider = nullptr;
    Kdf kdf;
};

std::vector<std::uint8_t> get_octets(EVP_KDF_CTX* context, const char* name) {
    std::vector<std::uint8_t> out(1024);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, out.data(), out.size()),
                           OSSL_PARAM_construct_end()};
    BOOST_REQUIRE_EQUAL(EVP_KDF_CTX_get_params(context, params), 1);
    out.resize(params[0].return_size);
    return out;
}

const std::vector<std::uint8_t> some_key(32, 0xC0);

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(derives_what_the_independent_program_does, Fixture) {
    std::ifstream file(STEK_VECTORS "/schedule.json");
    const json vectors = json::parse(file);
    const json& chain = vectors.at("chains").at(1);
    put_chain(from_hex(chain["chain_key"]), {chain["index"], chain["epoch"]});
    unsigned seen = 0;
    for (const json& epoch : chain["epochs"])
        for (const json& expected : epoch["steks"]) {
            Wish wish{epoch["epoch"].get<std::uint64_t>(), expected["revision"].get<std::uint32_t>(),
                      from_hex(expected["hourly_key"]), rsa().spki(), std::nullopt};
            const KdfContext derived = context();
            std::vector<std::uint8_t> name(16);
            BOOST_REQUIRE_EQUAL(EVP_KDF_CTX_set_params(derived.get(), wish.params().data()), 1);
            BOOST_REQUIRE_EQUAL(EVP_KDF_derive(derived.get(), name.data(), name.size(), nullptr), 1);
            BOOST_TEST(to_hex(name) == expected["key_name"].get<std::string>());
            BOOST_TEST((get_octets(derived.get(), "key-name") == name));
            BOOST_TEST(to_hex(get_octets(derived.get(), "admission-key")) ==
                       expected["admission_key"].get<std::string>());
            BOOST_TEST(to_hex(rsa().unwrap(get_octets(derived.get(), "wrapped-key"), "SHA1")) ==
                       expected["stek"].get<std::string>());
            char hash[16] = {};
            OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("oaep-hash", hash, sizeof hash),
                                   OSSL_PARAM_construct_end()};
            BOOST_REQUIRE_EQUAL(EVP_KDF_CTX_get_params(derived.get(), params), 1);
            BOOST_TEST(std::string(hash) == "SHA1");
            ++seen;
        }
    BOOST_TEST(seen == 20U);
}

BOOST_FIXTURE_TEST_CASE(tells_its_parameters_and_size, Fixture) {
    const auto names = [](const OSSL_PARAM* list) {
        std::vector<std::string> found;
        for (; list->key != nullptr; ++list)
            found.emplace_back(list->key);
        return found;
    };
    const std::vector<std::string> settable{"epoch", "revision", "hourly-key", "wrap-key", "oaep-hash"};
    const std::vector<std::string> gettable{"size", "key-name", "admission-key", "wrapped-key", "oaep-hash"};
    BOOST_TEST(names(EVP_KDF_settable_ctx_params(kdf.get())) == settable, boost::test_tools::per_element());
    BOOST_TEST(names(EVP_KDF_gettable_ctx_params(kdf.get())) == gettable, boost::test_tools::per_element());
    BOOST_TEST(EVP_KDF_CTX_get_kdf_size(context().get()) == 16U);
}

BOOST_FIXTURE_TEST_CASE(a_missing_parameter_is_named, Fixture) {
    put_chain(some_key, {0, 7});
    BOOST_TEST(failure(good()) == "");
    Wish wish = good();
    wish.epoch.reset();
    BOOST_TEST(mentions(failure(wish), "epoch: missing"));
    wish = good();
    wish.hourly_key.reset();
    BOOST_TEST(mentions(failure(wish), "hourly-key: missing"));
    wish = good();
    wish.wrap_key.reset();
    BOOST_TEST(mentions(failure(wish), "wrap-key: missing"));
    wish = good();
    wish.revision.reset();
    BOOST_TEST(failure(wish) == "");
}

BOOST_FIXTURE_TEST_CASE(a_wrong_parameter_is_named, Fixture) {
    put_chain(some_key, {0, 7});
    for (const std::size_t size : {0U, 1U, 31U, 33U, 4096U}) {
        Wish wish = good();
        wish.hourly_key = std::vector<std::uint8_t>(size, 1);
        BOOST_TEST(mentions(failure(wish), "hourly-key: "), size << " bytes");
    }
    for (const std::size_t size : {0U, 1U, 421U, 2049U}) {
        Wish wish = good();
        wish.wrap_key = std::vector<std::uint8_t>(size, 0x30);
        const std::string reason = failure(wish);
        BOOST_TEST((mentions(reason, "wrap-key: ") || mentions(reason, "wrap key: ")),
                   size << ": " << reason);
    }
    Wish wish = good();
    wish.epoch = 6;
    BOOST_TEST(mentions(failure(wish), "before the chain's"));
    wish.epoch = 7 + Chain::max_steps_ahead + 1;
    BOOST_TEST(mentions(failure(wish), "ahead of the chain's"));
    wish.epoch = UINT64_MAX;
    BOOST_TEST(mentions(failure(wish), "ahead of the chain's"));
    wish = good();
    wish.hash = "MD5";
    BOOST_TEST(mentions(failure(wish), "oaep-hash: not SHA1 or SHA256"));
    wish.hash = "SHA256";  // SoftHSM has none
    BOOST_TEST(mentions(failure(wish), "C_WrapKey: "));
    wish.hash = "SHA1";
    BOOST_TEST(failure(wish) == "");
    for (const std::size_t size : {0U, 15U, 17U, 32U})
        BOOST_TEST(mentions(failure(good(), size), "16 bytes"), size << " bytes");
    // Of the wrong type, or out of range.
    const KdfContext wrong = context();
    std::uint64_t big = std::uint64_t{1} << 32;
    std::int32_t negative = -1;
    char text[] = "text";
    for (const OSSL_PARAM& param :
         {OSSL_PARAM_construct_uint64("revision", &big), OSSL_PARAM_construct_int32("epoch", &negative),
          OSSL_PARAM_construct_int32("revision", &negative),
          OSSL_PARAM_construct_utf8_string("epoch", text, 0),
          OSSL_PARAM_construct_utf8_string("hourly-key", text, 0),
          OSSL_PARAM_construct_uint64("wrap-key", &big), OSSL_PARAM_construct_uint64("oaep-hash", &big),
          OSSL_PARAM_construct_octet_string("hourly-key", nullptr, 32)}) {
        const OSSL_PARAM params[] = {param, OSSL_PARAM_construct_end()};
        ERR_clear_error();
        BOOST_TEST(EVP_KDF_CTX_set_params(wrong.get(), params) == 0, param.key);
        BOOST_TEST(ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PROV);
    }
}

BOOST_FIXTURE_TEST_CASE(nothing_is_given_before_a_derivation_or_after_a_failed_one, Fixture) {
    put_chain(some_key, {0, 7});
    const KdfContext kdf_context = context();
    std::uint8_t room[512] = {};
    const auto refused = [&](const char* name) {
        OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, room, sizeof room),
                               OSSL_PARAM_construct_end()};
        return EVP_KDF_CTX_get_params(kdf_context.get(), params) != 1;
    };
    const auto all_refused = [&] {
        return refused("key-name") && refused("admission-key") && refused("wrapped-key") &&
               refused("oaep-hash");
    };
    BOOST_TEST(all_refused());
    Wish wish = good();
    BOOST_REQUIRE_EQUAL(EVP_KDF_derive(kdf_context.get(), room, 16, wish.params().data()), 1);
    BOOST_TEST(!refused("admission-key"));
    OSSL_PARAM small[] = {OSSL_PARAM_construct_octet_string("admission-key", room, 31),
                          OSSL_PARAM_construct_end()};
    BOOST_TEST(EVP_KDF_CTX_get_params(kdf_context.get(), small) != 1);
    BOOST_TEST(small[0].return_size == 32U);
    wish.epoch = 0;
    BOOST_REQUIRE_NE(EVP_KDF_derive(kdf_context.get(), room, 16, wish.params().data()), 1);
    BOOST_TEST(all_refused());
    wish.epoch = 8;
    BOOST_REQUIRE_EQUAL(EVP_KDF_derive(kdf_context.get(), room, 16, wish.params().data()), 1);
    EVP_KDF_CTX_reset(kdf_context.get());
    BOOST_TEST(all_refused());
    BOOST_TEST(EVP_KDF_derive(kdf_context.get(), room, 16, nullptr) != 1);
}

BOOST_FIXTURE_TEST_CASE(a_vault_without_a_chain_says_so_and_gets_one_later, Fixture) {
    BOOST_TEST(mentions(failure(good()), "holds no chain key"));
    put_chain(some_key, {0, 7});
    BOOST_TEST(failure(good()) == "");
}

BOOST_FIXTURE_TEST_CASE(a_spent_session_is_replaced, Fixture) {
    put_chain(some_key, {0, 7});
    Wish wish = good();
    wish.hash = "SHA256";
    for (unsigned round = 0; round < 5; ++round) {
        BOOST_TEST(failure(wish) != "");
        BOOST_TEST(failure(good()) == "");
    }
    std::unique_lock<std::mutex> lock;
    pkcs11::Session& session = vault->session(lock);
    pkcs11::Attributes all;
    BOOST_TEST(session.find(all).size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(threads_take_turns, Fixture) {
    put_chain(some_key, {0, 7});
    BOOST_REQUIRE_EQUAL(failure(good()), "");
    std::vector<std::thread> threads;
    threads.reserve(4);
    std::vector<std::vector<std::uint8_t>> names(4, std::vector<std::uint8_t>(16));
    std::atomic<unsigned> failed = 0;
    for (auto& name : names)
        threads.emplace_back([&] {
            for (unsigned round = 0; round < 20; ++round) {
                const KdfContext kdf_context = context();
                Wish wish = good();
                if (EVP_KDF_derive(kdf_context.get(), name.data(), 16, wish.params().data()) != 1)
                    ++failed;
            }
        });
    for (auto& thread : threads)
        thread.join();
    BOOST_TEST(failed == 0U);
    for (const auto& name : names)
        BOOST_TEST((name == names.front()));
}

// The child opens the vault anew, although a thread of the parent holds it at the fork.
BOOST_FIXTURE_TEST_CASE(a_forked_child_derives_too, Fixture) {
    put_chain(some_key, {0, 7});
    BOOST_REQUIRE_EQUAL(failure(good()), "");
    std::unique_lock<std::mutex> held;
    vault->session(held);
    const pid_t child = fork();
    if (child == 0) {
        const KdfContext kdf_context = context();
        std::uint8_t name[16];
        Wish wish = good();
        _exit(EVP_KDF_derive(kdf_context.get(), name, sizeof name, wish.params().data()) == 1 ? 0 : 1);
    }
    BOOST_REQUIRE(child > 0);
    int status = -1;
    BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
    held.unlock();
    BOOST_TEST(failure(good()) == "");
}

BOOST_FIXTURE_TEST_CASE(a_vault_that_cannot_be_opened_is_an_error, Fixture) {
    put_chain(some_key, {0, 7});
    Settings settings;
    const auto reason = [&](const std::string& uri) {
        settings.token = pkcs11::TokenUri::parse(uri);
        const auto broken = make_vault_access(settings);
        vault_in_use = broken.get();
        std::string text = failure(good());
        vault_in_use = vault.get();
        return text;
    };
    BOOST_TEST(mentions(reason("pkcs11:token=vault"), "module-path"));
    BOOST_TEST(mentions(reason("pkcs11:token=vault?module-path=/nonexistent.so"), "/nonexistent.so"));
    BOOST_TEST(reason("pkcs11:token=another?module-path=" + std::string(softhsm_module)) != "");
    BOOST_TEST(failure(good()) == "");
}
