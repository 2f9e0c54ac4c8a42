// Feeds tickets to a TLS server in this process, with the provider as servers load it and a real SoftHSM,
// whose STEK and admission key the target knows. The first byte's lowest bit chooses TLS 1.2 or 1.3, the next
// two the way in:
//   0  the input is the ticket
//   1  behind the key name, with the right HMAC: the token's GCM is reached
//   2  the input is the plaintext, sealed and with the right HMAC: time and session are parsed
//   3  a real session, sealed: its time is the input's first 8 bytes, then each two bytes change one of its
//      bytes (where, XOR with what)
// A handshake that does not open the ticket completes as a full one; one whose session was changed may fail,
// for who holds the STEK may write what he wants into it. Only a ticket that was sealed here resumes, and
// none that is too old. After each input a good ticket resumes: nothing that is fed takes the service from
// the others.
#include "provider/audience.hpp"
#include "provider/ticket.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <ctime>
#include <vector>

#include <openssl/conf.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/// SoftHSM loses a little with each object and session: not ours.
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libsofthsm2\n";
}

namespace {

using namespace stek;
using namespace stek::tests;
using fuzz::require;
using Buffer = std::vector<std::uint8_t>;

constexpr std::string_view key_name = "fuzz-key-name-00";
constexpr std::string_view server_name = "fuzz.example";
constexpr std::size_t iv_size = 12, tag_size = 16, mac_size = 32;
constexpr std::int64_t max_lineage = 86400;

std::int64_t time_in(Bytes plaintext) {
    std::uint64_t time = 0;
    for (const auto byte : plaintext.first(lineage_size))
        time = time << 8 | byte;
    return static_cast<std::int64_t>(time);
}

void append(Buffer& out, Bytes bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

/// The server with all that belongs to it; made once.
class Server {
  public:
    Server() : identity_("fuzz"), stek_(32, 7) {
        ring_.add(stek_, 1, std::time(nullptr) - 1, 86400, 86400);
        RingRecord& record = *ring_.ring().records.back();
        std::copy(key_name.begin(), key_name.end(), record.name.begin());
        std::fill_n(record.admission_key.data(), admission_key_size, 9);
        ring_.write();
        const auto conf = ring_.write_conf(ring_.section({{"attach", "yes"}}));
        require(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1, "the provider loads");
        ctx_ = server_ctx(identity_);
        const std::unique_ptr<SSL, SslFree> ssl(SSL_new(ctx_.get()));
        const auto audience = audience_of(facts_of(*LibSsl::load(), ssl.get()), Settings{}, server_name);
        require(audience.has_value() && ticket_mac_key(record, *audience, mac_key_), "keys are at hand");
        name_ = record.name;
        aad_ = ticket_aad(name_, *audience);
        for (const int tls13 : {0, 1}) {
            client_[tls13] = client_ctx(tls13 == 1 ? TLS1_3_VERSION : TLS1_2_VERSION);
            good_[tls13] = meet(tls13, nullptr);
            require(good_[tls13].done && has_our_name(good_[tls13].ticket),
                    "a full handshake gives a ticket");
        }
    }
    [[nodiscard]] Handshake meet(int tls13, SSL_SESSION* session) {
        return connect(client_[tls13].get(), ctx_.get(), session, std::string(server_name));
    }
    [[nodiscard]] const Handshake& good(int tls13) const { return good_[tls13]; }
    [[nodiscard]] bool has_our_name(Bytes ticket) const {
        return ticket.size() > name_.size() && std::equal(name_.begin(), name_.end(), ticket.begin());
    }
    [[nodiscard]] Buffer admitted(Bytes body) const {
        Buffer ticket(name_.begin(), name_.end());
        append(ticket, body);
        std::uint8_t mac[mac_size];
        HMAC(EVP_sha256(), mac_key_.data(), 32, ticket.data(), ticket.size(), mac, nullptr);
        append(ticket, mac);
        return ticket;
    }
    [[nodiscard]] Buffer sealed(Bytes plaintext) const {
        Buffer body(iv_size, 1);
        append(body, gcm(true, body, plaintext, {}));
        return admitted(body);
    }
    /// The plaintext of a ticket.
    [[nodiscard]] Buffer opened(Bytes ticket) const {
        const auto body = ticket.subspan(name_.size(), ticket.size() - name_.size() - mac_size);
        const auto text = body.subspan(iv_size, body.size() - iv_size - tag_size);
        return gcm(false, body.first(iv_size), text, body.last(tag_size));
    }

  private:
    [[nodiscard]] Buffer gcm(bool sealing, Bytes iv, Bytes in, Bytes tag) const {
        const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                      EVP_CIPHER_CTX_free);
        Buffer out(in.size() + tag_size);
        int size = 0, last = 0;
        const Buffer start(iv.begin(), iv.end());
        require(EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, stek_.data(), start.data(),
                                  sealing) == 1 &&
                    EVP_CipherUpdate(context.get(), nullptr, &size, aad_.data(),
                                     static_cast<int>(aad_.size())) == 1 &&
                    EVP_CipherUpdate(context.get(), out.data(), &size, in.data(),
                                     static_cast<int>(in.size())) == 1,
                "OpenSSL's own GCM");
        if (!sealing)
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_size,
                                const_cast<std::uint8_t*>(tag.data()));
        require(EVP_CipherFinal_ex(context.get(), out.data() + size, &last) == 1, "OpenSSL's own GCM ends");
        if (sealing)
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, out.data() + in.size());
        else
            out.resize(in.size());
        return out;
    }

    KnownRing ring_;
    Identity identity_;
    Buffer stek_;
    KeyName name_{};
    SecretArray<32> mac_key_;
    std::array<std::uint8_t, ticket_aad_size> aad_{};
    Ctx ctx_, client_[2];
    Handshake good_[2];
};

struct Case {
    Buffer ticket;
    bool may_fail = false;
    bool may_resume = false;
    bool must_resume = false;
};

bool is_session(Bytes text) {
    const unsigned char* at = text.data();
    return Session(d2i_SSL_SESSION(nullptr, &at, static_cast<long>(text.size()))) != nullptr;
}

bool young(Bytes plaintext) {
    return plaintext.size() > lineage_size && time_in(plaintext) >= std::time(nullptr) - max_lineage;
}

Case case_of(const Server& server, unsigned way, int tls13, Bytes input) {
    Case made;
    switch (way) {
        case 0:
            made.ticket.assign(input.begin(), input.end());
            return made;
        case 1:
            made.ticket = server.admitted(input);
            return made;
        case 2:
            made.ticket = server.sealed(input);
            made.may_resume = made.may_fail = young(input) && is_session(input.subspan(lineage_size));
            return made;
        default: {
            Buffer plaintext = server.opened(server.good(tls13).ticket);
            const Buffer before = plaintext;
            const auto time = input.first(std::min(input.size(), lineage_size));
            std::copy(time.begin(), time.end(), plaintext.begin());
            const Bytes changes = input.subspan(time.size());
            for (std::size_t i = 0; i + 1 < changes.size(); i += 2)
                plaintext[lineage_size + changes[i] % (plaintext.size() - lineage_size)] ^= changes[i + 1];
            const bool whole =
                std::equal(before.begin() + lineage_size, before.end(), plaintext.begin() + lineage_size);
            made.ticket = server.sealed(plaintext);
            made.may_resume = young(plaintext);
            made.must_resume = made.may_resume && whole;
            made.may_fail = made.may_resume && !whole;
            return made;
        }
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Server server;
    if (size < 2 || size > 16000)  // libssl's own limit on a ticket is 2^16 - 1
        return -1;
    const int tls13 = *data & 1;
    const Case made = case_of(server, *data >> 1 & 3, tls13, Bytes(data + 1, size - 1));
    const Session session = with_ticket(server.good(tls13).session.get(), made.ticket);
    const Handshake met = server.meet(tls13, session.get());
    require(met.done || made.may_fail, "a handshake completes: " + met.error);
    require(!met.resumed || made.may_resume, "only a ticket that was sealed resumes, while it is young");
    require(met.resumed || !made.must_resume, "a good ticket resumes");
    require(!met.done || met.resumed || server.has_our_name(met.ticket), "a full handshake gives a ticket");
    const Session good = with_ticket(server.good(tls13).session.get(), server.good(tls13).ticket);
    const Handshake after = server.meet(tls13, good.get());
    require(after.done && after.resumed, "a good ticket resumes after whatever was fed: " + after.error);
    return 0;
}
