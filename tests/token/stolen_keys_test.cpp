// What forged tickets get who has stolen the value of a STEK, or what the key ring shows: the forger works
// with plain OpenSSL. One provider attaches to a process, so each case is run in a process of its own (meson
// runs them by name).
#define BOOST_TEST_MODULE stolen_keys
#include "provider/audience.hpp"
#include "provider/counters.hpp"
#include "provider/ticket.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/token/open_token.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <span>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

using namespace stek;
using namespace stek::tests;

namespace {

using Buffer = std::vector<std::uint8_t>;
using CipherCtx = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

constexpr std::size_t iv_at = 16, iv_size = 12, ciphertext_at = 28, tag_size = 16, mac_size = 32;
constexpr char audience_text[] = "a service";
constexpr std::int64_t year = 366LL * 86400;

/// The only audience there is.
Audience audience() {
    Settings settings;
    settings.audience = audience_text;
    settings.audience_replaces = true;
    const auto found = audience_of(nullptr, settings, {});
    BOOST_REQUIRE(found.has_value());
    return *found;
}

/// A server whose ring and keys the forger knows.
struct Scene {
    KnownRing ring;
    Buffer stek = Buffer(32, 7);
    Identity identity{"a.example"};
    Ctx server;
    Ctx client = client_ctx(TLS1_3_VERSION);
    std::string stats = (ring.softhsm().directory() / "stats").string();

    /// The STEK seals for so many seconds from now.
    explicit Scene(std::int64_t seals, const std::string& max_lineage = "86400") {
        std::filesystem::create_directory(stats);
        ring.add(stek, 1, std::time(nullptr) - 10, seals + 10);
        const auto conf = ring.write_conf(ring.section({{"attach", "yes"},
                                                        {"audience", std::string("only:") + audience_text},
                                                        {"max-lineage", max_lineage},
                                                        {"stats", stats}}));
        BOOST_REQUIRE(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1);
        server = server_ctx(identity);
    }
    [[nodiscard]] const RingRecord& record() { return *ring.ring().records.front(); }
    [[nodiscard]] Handshake resume(SSL_SESSION* session) const {
        Handshake next = connect(client.get(), server.get(), session);
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        return next;
    }
    [[nodiscard]] std::uint64_t declined(Decline why) const {
        return collect_counters(stats, false).declined.at(static_cast<unsigned>(why));
    }
};

/// AES-256-GCM as the format says. Empty: the tag is wrong.
Buffer crypt(bool sealing, const Scene& scene, const KeyName& name, Bytes iv, Bytes in, Buffer& tag) {
    const CipherCtx context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    const auto aad = ticket_aad(name, audience());
    Buffer out(in.size());
    int size = 0;
    BOOST_REQUIRE(EVP_CipherInit_ex2(context.get(), EVP_aes_256_gcm(), scene.stek.data(), iv.data(),
                                     sealing ? 1 : 0, nullptr) == 1);
    BOOST_REQUIRE(EVP_CipherUpdate(context.get(), nullptr, &size, aad.data(), aad.size()) == 1);
    BOOST_REQUIRE(
        EVP_CipherUpdate(context.get(), out.data(), &size, in.data(), static_cast<int>(in.size())) == 1);
    if (!sealing)
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data());
    if (EVP_CipherFinal_ex(context.get(), out.data() + size, &size) != 1)
        return {};
    if (sealing)
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data());
    return out;
}

/// Puts the HMAC right, which needs the admission key only.
void admit(Buffer& ticket, const RingRecord& record) {
    SecretArray<32> key;
    BOOST_REQUIRE(ticket_mac_key(record, audience(), key));
    const std::size_t before = ticket.size() - mac_size;
    BOOST_REQUIRE(HMAC(EVP_sha256(), key.data(), 32, ticket.data(), before, ticket.data() + before,
                       nullptr) != nullptr);
}

std::int64_t time_in(const Buffer& plain) {
    std::uint64_t time = 0;
    for (const std::uint8_t byte : std::span(plain).first(lineage_size))
        time = time << 8 | byte;
    return static_cast<std::int64_t>(time);
}

/// A good ticket with another time of the full handshake in it.
Buffer with_time(Scene& scene, Buffer ticket, std::int64_t time) {
    const auto& name = scene.record().name;
    BOOST_REQUIRE(std::equal(name.begin(), name.end(), ticket.begin()));
    const std::span<std::uint8_t> all(ticket);
    const auto iv = all.subspan(iv_at, iv_size);
    const auto ciphertext = all.subspan(ciphertext_at, all.size() - ciphertext_at - tag_size - mac_size);
    const auto tag_in_ticket = all.subspan(ciphertext_at + ciphertext.size(), tag_size);
    Buffer tag(tag_in_ticket.begin(), tag_in_ticket.end());
    Buffer plain = crypt(false, scene, name, iv, ciphertext, tag);
    BOOST_REQUIRE_MESSAGE(plain.size() > lineage_size, "the thief's STEK opens the ticket");
    BOOST_REQUIRE(std::abs(time_in(plain) - std::time(nullptr)) < 60);
    for (std::size_t i = 0; i < lineage_size; ++i)
        plain[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(time) >> (56 - 8 * i));
    std::ranges::copy(crypt(true, scene, name, iv, plain, tag), ciphertext.begin());
    std::ranges::copy(tag, tag_in_ticket.begin());
    admit(ticket, scene.record());
    return ticket;
}

void sleep_until(std::int64_t time) {
    while (std::time(nullptr) < time)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

// Else one stolen STEK would forge a session that renews itself under every later one.
BOOST_AUTO_TEST_CASE(a_forged_time_of_the_full_handshake_is_capped) {
    constexpr std::int64_t seals = 3, max_lineage = 6;
    Scene scene(seals, std::to_string(max_lineage));
    const auto seal_until = scene.record().seal_until;
    const Handshake first = scene.resume(nullptr);
    const Session forged =
        with_ticket(first.session.get(), with_time(scene, first.ticket, std::time(nullptr) + year));
    sleep_until(seal_until);
    scene.ring.add(Buffer(32, 8), 2, seal_until, 3600);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // the ring is looked at once a second

    // As late as it is of use: the session that comes of it is renewed for no longer for that.
    const auto ends = seal_until + max_lineage;
    sleep_until(ends - 3);
    Handshake last = scene.resume(forged.get());
    BOOST_TEST(last.resumed, "until then it is as good as a ticket of seal_until");
    bool ended = false;
    while (!ended && std::time(nullptr) <= ends) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        Handshake next = scene.resume(last.session.get());
        ended = !next.resumed;
        last = std::move(next);
    }
    sleep_until(ends + 1);
    BOOST_TEST((ended || !scene.resume(last.session.get()).resumed), "renewed for longer");
    BOOST_TEST(!scene.resume(forged.get()).resumed, "its key opens still, but its time is over");
    BOOST_TEST(scene.declined(Decline::too_old) > 0U);
}

// Who has read the ring: its admission keys let garbage as far as the token, and no farther.
BOOST_AUTO_TEST_CASE(admission_keys_alone_open_nothing) {
    Scene scene(3600);
    const Handshake good = scene.resume(nullptr);
    const auto before = scene.declined(Decline::bad_tag);
    unsigned tried = 0;
    for (std::size_t size = 76; size < 400; size += 9, ++tried) {
        Buffer ticket(size);
        BOOST_REQUIRE(RAND_bytes(ticket.data(), static_cast<int>(size)) == 1);
        std::ranges::copy(scene.record().name, ticket.begin());
        admit(ticket, scene.record());
        BOOST_REQUIRE(!scene.resume(with_ticket(good.session.get(), ticket).get()).resumed);
    }
    for (std::size_t bit = iv_at * 8; bit < (good.ticket.size() - mac_size) * 8; bit += 41, ++tried) {
        Buffer ticket = good.ticket;
        ticket[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        admit(ticket, scene.record());
        BOOST_REQUIRE(!scene.resume(with_ticket(good.session.get(), ticket).get()).resumed);
    }
    BOOST_TEST(tried > 60U);
    BOOST_TEST(scene.declined(Decline::bad_tag) >= before + tried / 2, "they were let as far as the token");
    BOOST_TEST(scene.resume(good.session.get()).resumed, "and the token serves on");
}

namespace {

using Block = std::array<std::uint8_t, 16>;

Block xored(const Block& one, Bytes other) {
    Block sum = one;
    for (std::size_t i = 0; i < std::min(sum.size(), other.size()); ++i)
        sum[i] ^= other[i];
    return sum;
}

/// In the field of GHASH (NIST SP 800-38D, 6.3).
Block product(const Block& one, Block other) {
    Block sum{};
    for (std::size_t bit = 0; bit < 128; ++bit) {
        if ((one[bit / 8] >> (7 - bit % 8) & 1) != 0)
            sum = xored(sum, other);
        const bool carry = (other.back() & 1) != 0;
        for (std::size_t i = other.size(); i-- > 0;)
            other[i] = static_cast<std::uint8_t>(other[i] >> 1 | (i > 0 ? other[i - 1] << 7 : 0));
        other[0] ^= carry ? 0xE1 : 0;
    }
    return sum;
}

/// What a thief takes along of one nonce, and seals with.
struct OneNonce {
    Buffer nonce, stream;
    Block hash_key{}, mask{};

    [[nodiscard]] Block tag(Bytes aad, Bytes ciphertext) const {
        Block sum{};
        for (const Bytes part : {aad, ciphertext})
            for (std::size_t at = 0; at < part.size(); at += sum.size())
                sum = product(xored(sum, part.subspan(at)), hash_key);
        Block bits{};
        for (std::size_t i = 0; i < 8; ++i) {
            bits[i] = static_cast<std::uint8_t>(std::uint64_t{aad.size()} * 8 >> (56 - 8 * i));
            bits[8 + i] = static_cast<std::uint8_t>(std::uint64_t{ciphertext.size()} * 8 >> (56 - 8 * i));
        }
        return xored(product(xored(sum, bits), hash_key), mask);
    }
    /// A whole ticket, with that time of the full handshake.
    [[nodiscard]] Buffer ticket(const RingRecord& record, Buffer plain, std::int64_t time) const {
        for (std::size_t i = 0; i < lineage_size; ++i)
            plain[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(time) >> (56 - 8 * i));
        for (std::size_t i = 0; i < plain.size(); ++i)
            plain[i] ^= stream.at(i);
        Buffer all(record.name.begin(), record.name.end());
        all.insert(all.end(), nonce.begin(), nonce.end());
        all.insert(all.end(), plain.begin(), plain.end());
        const auto sealed = tag(ticket_aad(record.name, audience()), plain);
        all.insert(all.end(), sealed.begin(), sealed.end());
        all.resize(all.size() + mac_size);
        admit(all, record);
        return all;
    }
};

/// The use of a STEK in the ticket token, as a server has it.
class StolenUse {
  public:
    explicit StolenUse(Scene& scene)
        : session_(find_token(SoftHsm::uri(scene.ring.token())), pkcs11::Access::read_only),
          key_(session_, unwrap_stek(session_, scene.record())) {}

    Buffer seal(Bytes nonce, Buffer plain) {
        Buffer iv(nonce.begin(), nonce.end()), out(plain.size() + tag_size);
        CK_GCM_PARAMS params{iv.data(), iv.size(), 96, nullptr, 0, 128};
        CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
        CK_RV rv = CKR_OK;
        out.resize(session_.encrypt(mechanism, key_.get(), plain, out, rv));
        BOOST_REQUIRE_EQUAL(pkcs11::rv_name(rv), "CKR_OK");
        return out;
    }
    /// By the key stream, which needs no audience.
    Buffer open(const Buffer& ticket) {
        const Bytes all(ticket);
        const auto ciphertext = all.subspan(ciphertext_at, all.size() - ciphertext_at - tag_size - mac_size);
        Buffer plain = seal(all.subspan(iv_at, iv_size), Buffer(ciphertext.begin(), ciphertext.end()));
        plain.resize(ciphertext.size());
        return plain;
    }
    /// Two messages that differ in one bit, the field's 1: their tags differ by the square of GHASH's key.
    OneNonce take(const Buffer& nonce, std::size_t size) {
        const Buffer sealed = seal(nonce, Buffer(size)), other = seal(nonce, {0x80}),
                     third = seal(nonce, {0});
        OneNonce loot{nonce, {sealed.begin(), sealed.end() - tag_size}, {}, {}};
        Block tag{}, root{};
        std::copy_n(third.end() - tag_size, tag_size, tag.begin());
        root = xored(tag, Bytes(other).last(tag_size));
        for (int i = 0; i < 127; ++i)
            root = product(root, root);
        loot.hash_key = root;
        loot.mask = xored(loot.tag({}, Bytes(third).first(1)), tag);
        return loot;
    }

  private:
    pkcs11::Session session_;
    pkcs11::ScopedObject key_;
};

}  // namespace

// Threat model: who ran code in a worker seals under nonces that he chose then, also when he is gone.
BOOST_AUTO_TEST_CASE(who_had_the_use_of_a_key_makes_tickets_of_his_nonces_afterwards) {
    Scene scene(3600);
    const Handshake good = scene.resume(nullptr);
    const Buffer nonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    OneNonce loot;
    Buffer plain;
    {
        StolenUse use(scene);
        plain = use.open(good.ticket);
        loot = use.take(nonce, 2000);
    }
    BOOST_REQUIRE(std::abs(time_in(plain) - std::time(nullptr)) < 60);
    const auto is_taken = [&](const OneNonce& by, std::int64_t time) {
        return scene.resume(with_ticket(good.session.get(), by.ticket(scene.record(), plain, time)).get())
            .resumed;
    };
    const auto now = std::time(nullptr);
    for (const std::int64_t back : {0, 1, 2})
        BOOST_TEST(is_taken(loot, now - back));
    // For this nonce alone, and not by the key stream alone.
    const auto before = scene.declined(Decline::bad_tag);
    OneNonce another = loot, blunt = loot;
    another.nonce.back() ^= 1;
    blunt.hash_key.back() ^= 1;
    BOOST_TEST(!is_taken(another, now));
    BOOST_TEST(!is_taken(blunt, now));
    BOOST_TEST(scene.declined(Decline::bad_tag) == before + 2);

    // Until the key is revoked.
    const Session late = with_ticket(good.session.get(), loot.ticket(scene.record(), plain, now));
    BOOST_TEST(scene.resume(late.get()).resumed);
    scene.ring.drop(scene.record().name);
    bool ended = false;
    for (int tries = 0; !ended && tries < 100; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        ended = !scene.resume(late.get()).resumed;
    }
    BOOST_TEST(ended);
}
