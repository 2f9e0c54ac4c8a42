#include "tests/bench/libssl_tickets.hpp"

#include <algorithm>
#include <array>
#include <dlfcn.h>
#include <malloc.h>
#include <stdexcept>
#include <string_view>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

namespace {

using TicketCallback = int (*)(SSL*, unsigned char*, unsigned char*, EVP_CIPHER_CTX*, EVP_MAC_CTX*, int);
TicketCallback callback = nullptr;

/// libssl tells nobody which callback an SSL_CTX has; the provider takes libssl's functions from libssl
/// alone, so nothing can be put before them. It is the one pointer into the provider's code.
TicketCallback callback_in(SSL_CTX* ctx) {
    const auto* const words = reinterpret_cast<void* const*>(ctx);
    for (std::size_t i = 0; i < malloc_usable_size(ctx) / sizeof *words; ++i) {
        Dl_info info{};
        if (dladdr(words[i], &info) != 0 && std::string_view(info.dli_fname).ends_with("/stek.so")) {
            return reinterpret_cast<TicketCallback>(words[i]);
        }
    }
    return nullptr;
}

}  // namespace

namespace stek::tests {

namespace {

constexpr std::size_t session_size = 200;
constexpr std::size_t name_size = 16;
constexpr std::size_t mac_size = 32;

/// The two contexts that libssl makes for each ticket.
struct Contexts {
    Contexts() {
        EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
        mac = EVP_MAC_CTX_new(hmac);
        EVP_MAC_free(hmac);
    }
    Contexts(const Contexts&) = delete;
    Contexts& operator=(const Contexts&) = delete;
    ~Contexts() {
        EVP_CIPHER_CTX_free(cipher);
        EVP_MAC_CTX_free(mac);
    }
    EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX* mac;
};

/// A connection between two ends in memory, of which the server's stays.
std::unique_ptr<SSL, SslFree> finished_server(SSL_CTX* server_ctx) {
    const Ctx client_context = client_ctx(TLS1_3_VERSION);
    std::unique_ptr<SSL, SslFree> server(SSL_new(server_ctx));
    const std::unique_ptr<SSL, SslFree> client(SSL_new(client_context.get()));
    BIO* client_end = nullptr;
    BIO* server_end = nullptr;
    if (!server || !client || BIO_new_bio_pair(&client_end, 1U << 17, &server_end, 1U << 17) != 1) {
        throw std::runtime_error("no connection in memory");
    }
    SSL_set_bio(client.get(), client_end, client_end);
    SSL_set_bio(server.get(), server_end, server_end);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
    for (int step = 0; step < 10; ++step) {
        SSL_do_handshake(client.get());
        SSL_do_handshake(server.get());
    }
    if (SSL_is_init_finished(server.get()) != 1) {
        throw std::runtime_error("no handshake in memory");
    }
    return server;
}

}  // namespace

LibsslTickets::LibsslTickets(const std::string& openssl_conf)
    : identity_("a.example"), session_(session_size, 0x5a) {
    if (CONF_modules_load_file(openssl_conf.c_str(), nullptr, 0) != 1) {
        throw std::runtime_error("the provider did not load");
    }
    ctx_ = server_ctx(identity_);
    callback = callback_in(ctx_.get());
    if (callback == nullptr) {
        throw std::runtime_error("the provider did not attach");
    }
    server_ = finished_server(ctx_.get());
    // The provider asks on which address a connection came.
    socket_ = test::Socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket_ || SSL_set_fd(server_.get(), socket_.get()) != 1) {
        throw std::runtime_error("no socket");
    }
}

std::vector<std::uint8_t> LibsslTickets::seal() {
    const Contexts contexts;
    std::array<unsigned char, name_size> name{};
    std::array<unsigned char, EVP_MAX_IV_LENGTH> iv{};
    if (callback(server_.get(), name.data(), iv.data(), contexts.cipher, contexts.mac, 1) != 1) {
        throw std::runtime_error("no ticket was sealed");
    }
    const auto iv_size = static_cast<std::size_t>(EVP_CIPHER_CTX_get_iv_length(contexts.cipher));
    std::vector<std::uint8_t> ticket(name_size + iv_size + session_size + 2 * EVP_MAX_BLOCK_LENGTH +
                                     mac_size);
    std::copy(name.begin(), name.end(), ticket.begin());
    std::copy_n(iv.begin(), iv_size, ticket.begin() + name_size);
    std::uint8_t* const sealed = ticket.data() + name_size + iv_size;
    int size = 0;
    int last = 0;
    std::size_t mac = 0;
    if (EVP_EncryptUpdate(contexts.cipher, sealed, &size, session_.data(), session_size) != 1 ||
        EVP_EncryptFinal_ex(contexts.cipher, sealed + size, &last) != 1) {
        throw std::runtime_error("the cipher failed");
    }
    const std::size_t covered = name_size + iv_size + static_cast<std::size_t>(size + last);
    if (EVP_MAC_update(contexts.mac, ticket.data(), covered) != 1 ||
        EVP_MAC_final(contexts.mac, ticket.data() + covered, &mac, mac_size) != 1 || mac != mac_size) {
        throw std::runtime_error("the MAC failed");
    }
    ticket.resize(covered + mac);
    return ticket;
}

bool LibsslTickets::open(Bytes ticket) {
    const Contexts contexts;
    std::array<unsigned char, name_size> name{};
    std::copy_n(ticket.begin(), name_size, name.begin());
    // libssl gives the callback the place of the IV inside the ticket.
    auto* iv = const_cast<std::uint8_t*>(ticket.data()) + name_size;
    const int answer = callback(server_.get(), name.data(), iv, contexts.cipher, contexts.mac, 0);
    if (answer != 1 && answer != 2) {
        return false;
    }
    const auto covered = ticket.first(ticket.size() - mac_size);
    std::array<std::uint8_t, mac_size> mac{};
    std::size_t got = 0;
    if (EVP_MAC_update(contexts.mac, covered.data(), covered.size()) != 1 ||
        EVP_MAC_final(contexts.mac, mac.data(), &got, mac.size()) != 1 ||
        CRYPTO_memcmp(mac.data(), ticket.data() + covered.size(), mac.size()) != 0) {
        return false;
    }
    const auto sealed =
        covered.subspan(name_size + static_cast<std::size_t>(EVP_CIPHER_CTX_get_iv_length(contexts.cipher)));
    std::vector<std::uint8_t> session(sealed.size() + EVP_MAX_BLOCK_LENGTH);
    int size = 0;
    int last = 0;
    return EVP_DecryptUpdate(contexts.cipher, session.data(), &size, sealed.data(),
                             static_cast<int>(sealed.size())) == 1 &&
           EVP_DecryptFinal_ex(contexts.cipher, session.data() + size, &last) == 1 &&
           size + last == static_cast<int>(session_size);
}

}  // namespace stek::tests
