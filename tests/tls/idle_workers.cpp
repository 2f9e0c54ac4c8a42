// Orders reach workers that nobody visits: their memory is searched, from outside, for what was revoked.
#define BOOST_TEST_MODULE tls_idle_workers
#include "daemon/access.hpp"
#include "tests/attack/softhsm_file.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/other_process.hpp"
#include "tests/tls/scene.hpp"

#include <algorithm>
#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

constexpr unsigned workers = 2;
constexpr auto promised = std::chrono::seconds(2);

/// All by which tickets under a key can be opened, as who reads SoftHSM's files has it.
struct Needles {
    std::vector<std::uint8_t> stek, exponent, wrapped_key;
};

std::vector<std::uint8_t> number_of(const attack::Key& pair, const char* name) {
    BIGNUM* number = nullptr;
    BOOST_REQUIRE(EVP_PKEY_get_bn_param(pair.get(), name, &number) == 1);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(number)));
    BN_bn2bin(number, bytes.data());
    BN_clear_free(number);
    return bytes;
}

Needles needles_of(const Instance& instance, const RingRecord& record) {
    const auto token = daemon::softhsm_token_directory(instance.directory() / "softhsm2.conf",
                                                       instance.ring()->token_serial);
    const attack::Key pair = attack::private_half_in(token, record.pair);
    BOOST_REQUIRE(pair);
    // Memory that was freed has lost its first bytes to the allocator.
    constexpr std::ptrdiff_t lost = 32;
    Needles needles{attack::unwrapped_outside(pair, record),
                    number_of(pair, OSSL_PKEY_PARAM_RSA_D),
                    {record.wrapped_key.begin() + lost, record.wrapped_key.end()}};
    BOOST_REQUIRE(needles.stek.size() == 32U);
    return needles;
}

BOOST_DATA_TEST_CASE(what_is_revoked_leaves_an_idle_worker, versions, version) {
    Instance instance(scene().workspace, {3600, 7200});
    ServerSetup setup = scene().setup("nginx");
    setup.openssl_conf = instance.openssl_conf();
    Nginx nginx(setup);
    nginx.start();
    ClientTerms terms;
    terms.port = nginx.port();
    terms.version = version;
    std::set<pid_t> visited;
    Connection last;
    for (int i = 0; visited.size() < workers && i < 500; ++i) {
        last = connect(terms);
        visited.insert(std::stoi(nginx.worker(last)));
    }
    BOOST_REQUIRE_EQUAL(visited.size(), workers);
    const auto ring = instance.ring();
    const RingRecord* record = record_of(*ring, last.ticket);
    BOOST_REQUIRE(record != nullptr);
    const auto needles = needles_of(instance, *record);
    const Bytes admission_key = record->admission_key.bytes();
    for (const pid_t worker : visited) {
        for (const auto& needle : {needles.stek, needles.exponent, needles.wrapped_key}) {
            BOOST_REQUIRE(tests::times_in_memory(worker, needle) > 0U);
        }
        BOOST_REQUIRE(tests::times_in_memory(worker, admission_key) > 0U);
    }

    instance.order({"revoke", "all"});  // and nobody connects from here on
    for (const pid_t worker : visited) {
        BOOST_TEST(eventually(
            [&] {
                return tests::times_in_memory(worker, needles.stek) == 0 &&
                       tests::times_in_memory(worker, admission_key) == 0;
            },
            promised));
    }
    // And neither pair nor wrapped key, of which old copies may be had elsewhere.
    for (const pid_t worker : visited) {
        for (const auto& [what, needle] :
             {std::pair{"exponent", &needles.exponent}, {"wrapped key", &needles.wrapped_key}}) {
            BOOST_TEST(eventually([&] { return tests::times_in_memory(worker, *needle) == 0; }, 2 * promised),
                       what << " is still there " << tests::times_in_memory(worker, *needle) << " times");
        }
    }
    BOOST_TEST(!connect(terms).ticket.empty());
}

}  // namespace
}  // namespace stek::test
