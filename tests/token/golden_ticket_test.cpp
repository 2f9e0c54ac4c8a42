// Audiences and whole tickets beside those of tests/vectors/make_ticket.py, byte for byte.
#define BOOST_TEST_MODULE golden_ticket
#include "provider/audience.hpp"
#include "provider/ticket.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/token/open_token.hpp"

#include <ctime>
#include <fstream>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

using namespace stek;
using namespace stek::tests;
using nlohmann::json;

namespace {

using Buffer = std::vector<std::uint8_t>;
using CtxPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)>;
using CipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

json known_tickets() {
    std::ifstream file(STEK_VECTORS "/ticket.json");
    BOOST_REQUIRE_MESSAGE(file, "no " STEK_VECTORS "/ticket.json");
    return json::parse(file).at("vectors");
}

CtxPtr context_of(const json& row) {
    CtxPtr ctx(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    if (const Buffer der = from_hex(row["certificate"]); !der.empty()) {
        const auto* at = der.data();
        X509* certificate = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
        BOOST_REQUIRE(SSL_CTX_use_certificate(ctx.get(), certificate) == 1);
        X509_free(certificate);
    }
    SSL_CTX_set_verify(ctx.get(), row["verify_mode"], nullptr);
    auto* names = sk_X509_NAME_new_null();
    for (const std::string text : row["client_cas"]) {
        X509_NAME* name = X509_NAME_new();
        const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
        BOOST_REQUIRE(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, bytes,
                                                 static_cast<int>(text.size()), -1, 0) == 1);
        sk_X509_NAME_push(names, name);
    }
    SSL_CTX_set_client_CA_list(ctx.get(), names);
    return ctx;
}

Audience audience_of(const json& row) {
    const CtxPtr ctx = context_of(row);
    Settings settings;
    settings.audience = row["string"];
    settings.audience_replaces = row["replaces"];
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(ctx.get()), SSL_free);
    const auto audience =
        audience_of(facts_of(*LibSsl::load(), ssl.get()), settings, row["server_name"].get<std::string>());
    BOOST_REQUIRE(audience.has_value());
    return *audience;
}

/// The cipher as the ticket callback arms it.
class TicketCipher {
  public:
    TicketCipher(const LoadedProvider& provider, const KeyName& name, TicketExchange& exchange)
        : cipher_(EVP_CIPHER_fetch(provider.libctx(), "STEK-AES-256-GCM", nullptr), EVP_CIPHER_free),
          name_(name),
          exchange_(exchange) {}

    /// A plain init unwraps the key, as the callback does before it hands the cipher to libssl.
    [[nodiscard]] bool prepare() const {
        const CipherCtxPtr context = fresh();
        const OSSL_PARAM params[] = {name_param(), OSSL_PARAM_construct_end()};
        const Buffer iv(12);
        return EVP_DecryptInit_ex2(context.get(), cipher_.get(), nullptr, iv.data(), params) == 1;
    }
    /// What update and final give; empty if one of them failed.
    [[nodiscard]] Buffer run(bool sealing, Bytes iv, Bytes in) const {
        const CipherCtxPtr context = fresh();
        void* exchange = &exchange_;
        const OSSL_PARAM params[] = {
            name_param(), OSSL_PARAM_construct_octet_ptr(ticket_param, &exchange, sizeof exchange_),
            OSSL_PARAM_construct_end()};
        Buffer out(in.size() + 32);
        int size = 0;
        int last = 0;
        if (EVP_CipherInit_ex2(context.get(), cipher_.get(), nullptr, iv.data(), sealing ? 1 : 0, params) !=
                1 ||
            EVP_CipherUpdate(context.get(), out.data(), &size, in.data(), static_cast<int>(in.size())) != 1 ||
            EVP_CipherFinal_ex(context.get(), out.data() + size, &last) != 1) {
            return {};
        }
        out.resize(static_cast<std::size_t>(size + last));
        return out;
    }

  private:
    static CipherCtxPtr fresh() { return {EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free}; }
    OSSL_PARAM name_param() const {
        return OSSL_PARAM_construct_octet_string(key_name_param, const_cast<std::uint8_t*>(name_.data()),
                                                 name_.size());
    }
    CipherPtr cipher_;
    const KeyName& name_;
    TicketExchange& exchange_;
};

Buffer mac(const RingRecord& record, const Audience& audience, Bytes over) {
    SecretArray<32> key, again;
    BOOST_REQUIRE(ticket_mac_key(record, audience, key));
    BOOST_REQUIRE(ticket_mac_key(record, audience, again));
    BOOST_TEST(std::ranges::equal(key.bytes(), again.bytes()));  // worked out, then remembered
    Buffer out(32);
    BOOST_REQUIRE(HMAC(EVP_sha256(), key.data(), 32, over.data(), over.size(), out.data(), nullptr));
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(audiences_are_those_of_the_independent_program) {
    std::size_t seen = 0;
    for (const json& row : known_tickets()) {
        BOOST_TEST(to_hex(audience_of(row)) == row["audience"].get<std::string>());
        ++seen;
    }
    BOOST_TEST(seen == 11U);
}

BOOST_AUTO_TEST_CASE(tickets_are_those_of_the_independent_program) {
    KnownRing ring;
    const json rows = known_tickets();
    for (std::uint64_t i = 0; i < rows.size(); ++i) {
        ring.add(from_hex(rows[i]["stek"]), i + 1, std::time(nullptr) - 1);
        RingRecord& record = *ring.ring().records.back();
        std::ranges::copy(from_hex(rows[i]["key_name"]), record.name.begin());
        std::ranges::copy(from_hex(rows[i]["admission_key"]), record.admission_key.data());
    }
    ring.write();
    const LoadedProvider provider(ring.section());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const json& row = rows[i];
        const RingRecord& record = *ring.ring().records[i];
        TicketExchange exchange;
        exchange.audience = audience_of(row);
        exchange.lineage = row["lineage"];
        exchange.lineage_cap = exchange.lineage + 1000;
        const TicketCipher cipher(provider, record.name, exchange);
        BOOST_REQUIRE(cipher.prepare());

        const Buffer iv = from_hex(row["iv"]);
        const Buffer session = from_hex(row["session"]);
        Buffer ticket(record.name.begin(), record.name.end());
        ticket.insert(ticket.end(), iv.begin(), iv.end());
        std::ranges::copy(cipher.run(true, iv, session), std::back_inserter(ticket));
        std::ranges::copy(mac(record, exchange.audience, ticket), std::back_inserter(ticket));
        BOOST_TEST(to_hex(ticket) == row["ticket"].get<std::string>());

        exchange.lineage = 0;
        const Bytes sealed = Bytes(ticket).subspan(28, ticket.size() - 28 - 32);
        BOOST_TEST(to_hex(cipher.run(false, iv, sealed)) == row["session"].get<std::string>());
        BOOST_TEST(exchange.opened);
        BOOST_TEST(exchange.lineage == row["lineage"].get<std::int64_t>());
    }
}
