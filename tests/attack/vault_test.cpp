// With the vault's PIN, which only stekd has: what then is possible, and what is not (threat model).
#define BOOST_TEST_MODULE attack_vault
#include "provider/vault.hpp"

#include "tests/attack/scene.hpp"
#include "tests/token/open_token.hpp"

#include <algorithm>
#include <memory>

#include <boost/test/unit_test.hpp>
#include <openssl/evp.h>

using namespace stek;
using namespace stek::attack;

namespace {

using Octets = std::vector<std::uint8_t>;

/// The child that the token derives from these bytes of a chain key, by OpenSSL.
Octets step(const Octets& key, const std::string& label) {
    const std::string text = "stekd v1 " + label;
    Octets data(32), out(32), iv(16);
    std::size_t size = 0;
    int length = 0;
    EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), data.data(), &size);
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    EVP_EncryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key.data(), iv.data());
    EVP_CIPHER_CTX_set_padding(context.get(), 0);
    BOOST_REQUIRE(EVP_EncryptUpdate(context.get(), out.data(), &length, data.data(), 32) == 1);
    return out;
}

Octets child(const Judge& judge, const std::string& label) {
    for (const Tried& row : judge.tried())
        if (row.group == "stated" && row.name.find('"' + label + '"') != std::string::npos)
            return row.bytes;
    return {};
}

/// Exactly the group "stated" succeeds.
void only_what_is_stated(const Judge& judge) {
    judge.print();
    for (const Tried& row : judge.tried()) {
        if (row.group == "stated")
            BOOST_TEST((row.verdict == Verdict::succeeded), row.name << ": " << row.answer);
        else
            BOOST_TEST((row.verdict == Verdict::refused || row.verdict == Verdict::gives_nothing),
                       row.name << ": " << row.answer << ": " << row.use);
    }
}

bool holds(const Octets& all, const Octets& some) {
    return std::search(all.begin(), all.end(), some.begin(), some.end()) != all.end();
}

}  // namespace

// It begins with stekd's own rights: the files of the vault are closed to others.
BOOST_AUTO_TEST_CASE(the_vault_s_pin_gives_extractable_children_and_no_chain_key_and_no_live_stek) {
    Target target;
    const auto ticket = target.real_ticket();
    const Prize prize(target.stek_of(ticket), ticket, Target::audience());
    BOOST_REQUIRE(prize.opens(target.stek_of(ticket).data()));
    target.daemon->stop();
    auto pin = test::read_file(target.directory / "pins/vault.pin");
    pin.erase(pin.find_last_not_of('\n') + 1);
    Judge judge(prize);
    judge.run("root", {"vault", tests::softhsm_module, target.ring_file(), "stekd-vault", pin},
              target.environment());
    only_what_is_stated(judge);
    for (const Tried& row : judge.tried())
        BOOST_TEST(!prize.is_in(row.bytes), row.name << " gives a live STEK: its hourly key is gone");
}

BOOST_AUTO_TEST_CASE(with_the_vault_s_pin_later_epochs_can_be_derived_and_earlier_ones_cannot) {
    tests::SoftHsm softhsm;
    const auto made = softhsm.make_token("vault");
    const auto with_chain = [&](const auto& act) {
        {
            auto session =
                tests::log_in(tests::find_token(tests::SoftHsm::uri(made)), "file:" + made.pin_file.string());
            Chain chain(session);
            act(chain);
        }
        tests::SoftHsm::finalize();
    };
    const auto attack = [&](Judge& judge) {
        judge.run("root", {"vault", tests::softhsm_module, "-", made.label, made.pin},
                  {{"SOFTHSM2_CONF", softhsm.conf()}});
    };
    const Prize none({}, {}, {});
    Judge first(none), second(none);
    with_chain([](Chain& chain) { chain.make({0, 1}); });
    attack(first);
    with_chain([](Chain& chain) { chain.advance(1, 2); });
    attack(second);
    only_what_is_stated(first);
    only_what_is_stated(second);

    // Later: the next chain key's bytes came out, and from them all that the vault derives an epoch later.
    const Octets next = child(first, "chain");
    BOOST_REQUIRE_EQUAL(next.size(), 32U);
    for (const char* label : {"mix 0", "mix 1", "chain"})
        BOOST_TEST((step(next, label) == child(second, label)), label);
    // Earlier: nothing that the second vault gives is what the first one held.
    for (const char* label : {"mix 0", "mix 1", "chain"}) {
        const Octets old = child(first, label);
        BOOST_REQUIRE_EQUAL(old.size(), 32U);
        for (const Tried& row : second.tried())
            BOOST_TEST(!holds(row.bytes, old),
                       row.name << " gives the " << label << " of an epoch that is gone");
    }
}
