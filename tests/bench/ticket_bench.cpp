// Sealing and opening one session through EVP, against a bare Cryptoki loop with the same key in the same
// process. Aim: 0.9 of the bare loop's speed, that is 1.11 of its time.
#include "pkcs11/session.hpp"
#include "provider/sealer.hpp"
#include "provider/ticket.hpp"
#include "provider/ticket_token.hpp"
#include "tests/bench/rounds.hpp"
#include "tests/fixtures/known_ring.hpp"

#include <array>
#include <cstring>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <string>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr unsigned rounds = 101;  // many and short: neighbours come and go
constexpr unsigned per_round = 1000;
constexpr unsigned profiled = 200000;
constexpr double aim = 1 / 0.9;
constexpr std::size_t session_size = 200;  ///< of a TLS 1.3 session without client certificate, about
constexpr std::size_t plain_size = lineage_size + session_size;
constexpr std::size_t sealed_size = plain_size + gcm_tag_size;

void require(bool good, const char* what) {
    if (!good) {
        throw std::runtime_error(what);
    }
}

/// What all of them seal: so many bytes, under this additional data, each time with another IV.
struct Message {
    KeyName name;
    Audience audience{};
    std::array<std::uint8_t, ticket_aad_size> aad{};
    std::array<std::uint8_t, plain_size> plain{};
    std::array<std::uint8_t, gcm_iv_size> iv{};
    void next_iv() noexcept {
        for (auto byte = iv.rbegin(); byte != iv.rend() && ++*byte == 0; ++byte) {
        }
    }
};

/// The least that a program with this token must do.
class Bare {
  public:
    Bare(KnownRing& ring, Message message)
        : message_(message),
          session_(pkcs11::Token::find(pkcs11::Module::initialize(pkcs11::Library::map(softhsm_module)),
                                       pkcs11::TokenUri::parse(SoftHsm::uri(ring.token()))),
                   pkcs11::Access::read_only),
          key_(unwrap_stek(session_, *ring.ring().records.back())),
          cryptoki_(pkcs11::Library::map(softhsm_module)->functions()) {}

    void seal(unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            message_.next_iv();
            CK_ULONG size = sealed_.size();
            CK_MECHANISM mechanism = prepared();
            require(cryptoki_.C_EncryptInit(session_.handle(), &mechanism, key_) == CKR_OK &&
                        cryptoki_.C_Encrypt(session_.handle(), message_.plain.data(), plain_size,
                                            sealed_.data(), &size) == CKR_OK &&
                        size == sealed_.size(),
                    "C_Encrypt");
        }
    }
    void open(unsigned count) {
        seal(1);
        std::array<std::uint8_t, sealed_size> opened{};
        for (unsigned i = 0; i < count; ++i) {
            CK_ULONG size = opened.size();
            CK_MECHANISM mechanism = prepared();
            require(cryptoki_.C_DecryptInit(session_.handle(), &mechanism, key_) == CKR_OK &&
                        cryptoki_.C_Decrypt(session_.handle(), sealed_.data(), sealed_.size(), opened.data(),
                                            &size) == CKR_OK &&
                        size == plain_size,
                    "C_Decrypt");
        }
    }

  private:
    CK_MECHANISM prepared() {
        params_ = {};
        params_.pIv = message_.iv.data();
        params_.ulIvLen = message_.iv.size();
        params_.ulIvBits = message_.iv.size() * 8;
        params_.pAAD = message_.aad.data();
        params_.ulAADLen = message_.aad.size();
        params_.ulTagBits = gcm_tag_size * 8;
        return {CKM_AES_GCM, &params_, sizeof params_};
    }
    Message message_;
    pkcs11::Session session_;
    CK_OBJECT_HANDLE key_;
    CK_FUNCTION_LIST& cryptoki_;
    CK_GCM_PARAMS params_{};
    std::array<std::uint8_t, sealed_size> sealed_{};
};

struct ContextFree {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
    void operator()(EVP_CIPHER* cipher) const noexcept { EVP_CIPHER_free(cipher); }
    void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
    void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
};
template <class T>
using Owned = std::unique_ptr<T, ContextFree>;

enum class Manner {
    plain,            ///< as a program uses a cipher: one context, initialised anew for each message
    ticket,           ///< the same in ticket mode, where the ticket callback has chosen the key
    ticket_as_libssl  ///< a context and an init by name for each ticket: EVP's own cost comes on top
};

/// The provider's cipher.
class ThroughEvp {
  public:
    ThroughEvp(const LoadedProvider& provider, Message message, Manner manner)
        : message_(message),
          as_ticket_(manner != Manner::plain),
          anew_(manner == Manner::ticket_as_libssl),
          cipher_(EVP_CIPHER_fetch(provider.libctx(), "STEK-AES-256-GCM", nullptr)),
          context_(EVP_CIPHER_CTX_new()) {
        require(cipher_ && context_, "EVP_CIPHER_fetch");
        exchange_.audience = message_.audience;
        exchange_.lineage = std::time(nullptr);
        exchange_.lineage_limit = std::numeric_limits<std::int64_t>::min();
        exchange_.lineage_cap = exchange_.lineage;
        start(true);
    }

    void seal(unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            message_.next_iv();
            int size = 0;
            int last = 0;
            begin(true);
            require(EVP_EncryptUpdate(context_.get(), sealed_.data(), &size, input(), input_size()) == 1 &&
                        EVP_EncryptFinal_ex(context_.get(), sealed_.data() + size, &last) == 1 &&
                        size + last == static_cast<int>(sealed_size),
                    "sealing through EVP");
        }
    }
    void open(unsigned count) {
        seal(1);
        std::array<std::uint8_t, sealed_size + 32> opened{};
        for (unsigned i = 0; i < count; ++i) {
            int size = 0;
            int last = 0;
            begin(false);
            require(
                EVP_DecryptUpdate(context_.get(), opened.data(), &size, sealed_.data(), sealed_size) == 1 &&
                    EVP_DecryptFinal_ex(context_.get(), opened.data() + size, &last) == 1 &&
                    size + last == input_size(),
                "opening through EVP");
        }
    }

  private:
    void start(bool sealing) {
        void* exchange = &exchange_;
        OSSL_PARAM params[3] = {
            OSSL_PARAM_construct_octet_string(key_name_param, message_.name.data(), message_.name.size()),
            OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
        if (as_ticket_) {
            params[1] = OSSL_PARAM_construct_octet_ptr(ticket_param, &exchange, sizeof exchange_);
        }
        require(EVP_CipherInit_ex2(context_.get(), cipher_.get(), nullptr, message_.iv.data(),
                                   sealing ? 1 : 0, params) == 1,
                "EVP_CipherInit_ex2");
    }
    void begin(bool sealing) {
        if (anew_) {
            context_.reset(EVP_CIPHER_CTX_new());
            start(sealing);
        } else {
            require(EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, message_.iv.data(), sealing ? 1 : 0,
                                       nullptr) == 1,
                    "EVP_CipherInit_ex2");
        }
        int size = 0;
        require(as_ticket_ || EVP_CipherUpdate(context_.get(), nullptr, &size, message_.aad.data(),
                                               static_cast<int>(message_.aad.size())) == 1,
                "additional data");
    }
    [[nodiscard]] const std::uint8_t* input() const noexcept {
        return message_.plain.data() + (as_ticket_ ? lineage_size : 0);
    }
    [[nodiscard]] int input_size() const noexcept { return as_ticket_ ? session_size : plain_size; }

    Message message_;
    const bool as_ticket_;
    const bool anew_;
    Owned<EVP_CIPHER> cipher_;
    Owned<EVP_CIPHER_CTX> context_;
    TicketExchange exchange_;
    std::array<std::uint8_t, sealed_size + 32> sealed_{};
};

/// What libssl does with a key in its own memory: AES-256-CBC, then HMAC-SHA256.
class Stock {
  public:
    explicit Stock(Message message)
        : message_(message),
          cipher_(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)),
          mac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)),
          context_(EVP_CIPHER_CTX_new()),
          mac_context_(EVP_MAC_CTX_new(mac_.get())) {}

    void seal(unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            message_.next_iv();
            cipher(true, message_.plain.data() + lineage_size, session_size, sealed_.data());
            mac();
        }
    }
    void open(unsigned count) {
        seal(1);
        const int size = size_;
        std::array<std::uint8_t, sealed_size + 64> opened{};
        for (unsigned i = 0; i < count; ++i) {
            size_ = size;
            mac();
            cipher(false, sealed_.data(), size, opened.data());
        }
        size_ = size;
    }

  private:
    void cipher(bool sealing, const std::uint8_t* in, int in_size, std::uint8_t* out) {
        int last = 0;
        require(EVP_CipherInit_ex2(context_.get(), cipher_.get(), key_.data(), iv_.data(), sealing ? 1 : 0,
                                   nullptr) == 1 &&
                    EVP_CipherUpdate(context_.get(), out, &size_, in, in_size) == 1 &&
                    EVP_CipherFinal_ex(context_.get(), out + size_, &last) == 1,
                "AES-256-CBC");
        size_ += last;
    }
    void mac() {
        char digest[] = "SHA256";
        const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                     OSSL_PARAM_construct_end()};
        std::array<std::uint8_t, 32> code{};
        std::size_t size = 0;
        require(
            EVP_MAC_init(mac_context_.get(), key_.data(), key_.size(), params) == 1 &&
                EVP_MAC_update(mac_context_.get(), sealed_.data(), static_cast<std::size_t>(size_)) == 1 &&
                EVP_MAC_final(mac_context_.get(), code.data(), &size, code.size()) == 1,
            "HMAC");
    }
    Message message_;
    std::array<std::uint8_t, 32> key_{1, 2, 3};
    std::array<std::uint8_t, 16> iv_{};
    Owned<EVP_CIPHER> cipher_;
    Owned<EVP_MAC> mac_;
    Owned<EVP_CIPHER_CTX> context_;
    Owned<EVP_MAC_CTX> mac_context_;
    std::array<std::uint8_t, sealed_size + 64> sealed_{};
    int size_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
    KnownRing ring;
    const Message message{ring.add_current()};
    const LoadedProvider provider(ring.section());
    ThroughEvp plain(provider, message, Manner::plain);
    plain.seal(1);  // initialises SoftHSM and unwraps the key, which ticket mode leaves to the callback
    ThroughEvp ticket(provider, message, Manner::ticket);
    ThroughEvp libssl(provider, message, Manner::ticket_as_libssl);
    Bare bare(ring, message);
    Stock stock(message);
    const auto profile = [&](auto& one, const char* what) {
        std::strcmp(what, "seal") == 0 ? one.seal(profiled) : one.open(profiled);
        return 0;
    };
    if (count == 3) {  // one of them, for a profiler: bare, plain or ticket; seal or open
        const std::string who = arguments[1];
        return who == "bare"    ? profile(bare, arguments[2])
               : who == "plain" ? profile(plain, arguments[2])
                                : profile(ticket, arguments[2]);
    }
    std::vector<Contender> sealing{
        {"bare C_EncryptInit + C_Encrypt", by_cpu_time([&](unsigned n) { bare.seal(n); })},
        {"STEK-AES-256-GCM, plain EVP", by_cpu_time([&](unsigned n) { plain.seal(n); })},
        {"STEK-AES-256-GCM, ticket mode", by_cpu_time([&](unsigned n) { ticket.seal(n); }), aim},
        {"the same, a context for each as libssl has", by_cpu_time([&](unsigned n) { libssl.seal(n); })},
        {"AES-256-CBC + HMAC-SHA256 (OpenSSL's tickets)", by_cpu_time([&](unsigned n) { stock.seal(n); })}};
    measure(sealing, rounds, per_round);
    tell_all("Sealing a session of 200 bytes, CPU time", sealing);
    std::vector<Contender> opening{
        {"bare C_DecryptInit + C_Decrypt", by_cpu_time([&](unsigned n) { bare.open(n); })},
        {"STEK-AES-256-GCM, plain EVP", by_cpu_time([&](unsigned n) { plain.open(n); })},
        {"STEK-AES-256-GCM, ticket mode", by_cpu_time([&](unsigned n) { ticket.open(n); }), aim},
        {"the same, a context for each as libssl has", by_cpu_time([&](unsigned n) { libssl.open(n); })},
        {"AES-256-CBC + HMAC-SHA256 (OpenSSL's tickets)", by_cpu_time([&](unsigned n) { stock.open(n); })}};
    measure(opening, rounds, per_round);
    tell_all("Opening a session of 200 bytes, CPU time", opening);
    return 0;
}
