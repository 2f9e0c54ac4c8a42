#include "provider/audience.hpp"

#include "provider/fetched.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace stek {

namespace {

struct DigestFree {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

/// SHA-256 over parts that are framed by their lengths, so that no two lists of parts give the same bytes.
class FramedHash {
  public:
    FramedHash() : context_(EVP_MD_CTX_new()) {
        good_ = context_ && EVP_DigestInit_ex2(context_.get(), sha256(), nullptr) == 1;
    }
    void part(Bytes bytes) noexcept {
        number(bytes.size());
        good_ = good_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
    }
    void part(std::string_view text) noexcept {
        part(Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    }
    void number(std::uint64_t value) noexcept {
        std::uint8_t bytes[8];
        for (int i = 0; i < 8; ++i) {
            bytes[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
        }
        good_ = good_ && EVP_DigestUpdate(context_.get(), bytes, sizeof bytes) == 1;
    }
    [[nodiscard]] bool finish(Audience& out) noexcept {
        return good_ && EVP_DigestFinal_ex(context_.get(), out.data(), nullptr) == 1;
    }

  private:
    std::unique_ptr<EVP_MD_CTX, DigestFree> context_;
    bool good_ = false;
};

std::string lower(std::string_view name) {
    std::string result(name);
    std::ranges::transform(result, result.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return result;
}

}  // namespace

struct ContextAudience::Base {
    X509* certificate;  // owned reference: as long as it is held, no other certificate has this address
    int verify_mode;
    const STACK_OF(X509_NAME) * ca_list;
    int ca_count;
    std::vector<std::uint8_t> spki;
    Audience clients{};
    const Base* older;

    Base(X509* certificate, int verify_mode, const STACK_OF(X509_NAME) * ca_list, const Base* older)
        : certificate(certificate),
          verify_mode(verify_mode),
          ca_list(ca_list),
          ca_count(ca_list != nullptr ? sk_X509_NAME_num(ca_list) : 0),
          older(older) {
        if (certificate != nullptr) {
            X509_up_ref(certificate);
        }
    }
    Base(const Base&) = delete;
    Base& operator=(const Base&) = delete;
    ~Base() { X509_free(certificate); }
};

ContextAudience::~ContextAudience() {
    for (const Base* base = base_.load(); base != nullptr;) {
        const Base* older = base->older;
        delete base;
        base = older;
    }
}

const ContextAudience::Base* ContextAudience::base(const LibSsl& ssl, const SSL_CTX* ctx) {
    X509* certificate = ssl.ctx_certificate(ctx);
    const int verify_mode = ssl.ctx_verify_mode(ctx);
    const auto* ca_list = ssl.ctx_client_ca_list(ctx);
    const Base* known = base_.load(std::memory_order_acquire);
    if (known != nullptr && known->certificate == certificate && known->verify_mode == verify_mode &&
        known->ca_list == ca_list &&
        known->ca_count == (ca_list != nullptr ? sk_X509_NAME_num(ca_list) : 0)) {
        return known;
    }
    auto fresh = std::make_unique<Base>(certificate, verify_mode, ca_list, known);
    if (certificate != nullptr) {
        unsigned char* der = nullptr;
        const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        if (size <= 0) {
            return nullptr;
        }
        fresh->spki.assign(der, der + size);
        OPENSSL_free(der);
    }
    FramedHash clients;
    clients.number(static_cast<std::uint64_t>(verify_mode));
    for (int i = 0; i < fresh->ca_count; ++i) {
        unsigned char* der = nullptr;
        const int size = i2d_X509_NAME(sk_X509_NAME_value(ca_list, i), &der);
        if (size <= 0) {
            return nullptr;
        }
        clients.part(Bytes(der, static_cast<std::size_t>(size)));
        OPENSSL_free(der);
    }
    if (!clients.finish(fresh->clients)) {
        return nullptr;
    }
    if (base_.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
        return fresh.release();
    }
    return known;  // another thread's, of this same moment
}

std::optional<Audience> ContextAudience::of(const LibSsl& ssl, const SSL_CTX* ctx, const Settings& settings,
                                            std::string_view server_name) noexcept {
    try {
        FramedHash hash;
        hash.part(std::string_view("stekd audience v1"));
        hash.part(settings.audience);
        if (!settings.audience_replaces) {
            const Base* from_context = base(ssl, ctx);
            if (from_context == nullptr || (from_context->spki.empty() && settings.audience.empty())) {
                return std::nullopt;
            }
            hash.part(from_context->spki);
            hash.part(Bytes(from_context->clients));
            hash.part(lower(server_name));
        }
        Audience result{};
        return hash.finish(result) ? std::optional(result) : std::nullopt;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

std::optional<std::string_view> parse_server_name(Bytes extension) noexcept {
    // struct { NameType(1) = host_name(0); opaque HostName<1..2^16-1>; } ServerName; ServerName
    // server_name_list<1..2^16-1>
    const auto length_at = [&](std::size_t at) {
        return std::size_t{extension[at]} << 8 | extension[at + 1];
    };
    if (extension.size() < 5 || length_at(0) != extension.size() - 2 || extension[2] != 0 ||
        length_at(3) != extension.size() - 5) {
        return std::nullopt;
    }
    return std::string_view(reinterpret_cast<const char*>(extension.data()) + 5, extension.size() - 5);
}

}  // namespace stek
