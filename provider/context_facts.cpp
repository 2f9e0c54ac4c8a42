#include "provider/context_facts.hpp"

#include "provider/framed_hash.hpp"

#include <algorithm>
#include <memory>
#include <mutex>

#include <openssl/x509.h>

namespace stek {

namespace {

std::array<std::atomic<const ContextFacts*>, max_context_facts> all_facts;

/// The one object with these facts.
const ContextFacts* shared(ContextFacts&& facts) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < all_facts.size(); ++i) {
        const ContextFacts* known = all_facts[i].load(std::memory_order_relaxed);
        if (known == nullptr) {
            facts.number = static_cast<std::uint16_t>(i + 1);
            known = new ContextFacts(std::move(facts));
            all_facts[i].store(known, std::memory_order_release);
            return known;
        }
        if (known->spki == facts.spki && known->clients == facts.clients) {
            return known;
        }
    }
    return nullptr;
}

}  // namespace

const ContextFacts* context_facts(std::uint16_t number) noexcept {
    return number == 0 ? nullptr : all_facts[number - 1U].load(std::memory_order_acquire);
}

/// The facts, and what tells that they are still true.
struct FactsOfContext::Seen {
    X509* certificate;  // owned reference: as long as it is held, no other certificate has this address
    int verify_mode;
    const STACK_OF(X509_NAME) * ca_list;
    int ca_count;
    const Seen* older;
    const ContextFacts* facts = nullptr;

    Seen(X509* certificate, int verify_mode, const STACK_OF(X509_NAME) * ca_list, const Seen* older)
        : certificate(certificate),
          verify_mode(verify_mode),
          ca_list(ca_list),
          ca_count(ca_list != nullptr ? sk_X509_NAME_num(ca_list) : 0),
          older(older) {
        if (certificate != nullptr) {
            X509_up_ref(certificate);
        }
    }
    Seen(const Seen&) = delete;
    Seen& operator=(const Seen&) = delete;
    ~Seen() { X509_free(certificate); }
};

FactsOfContext::~FactsOfContext() {
    for (const Seen* seen = seen_.load(); seen != nullptr;) {
        const Seen* older = seen->older;
        delete seen;
        seen = older;
    }
}

const FactsOfContext::Seen* FactsOfContext::look(const LibSsl& ssl, const SSL_CTX* ctx) {
    X509* certificate = ssl.ctx_certificate(ctx);
    const int verify_mode = ssl.ctx_verify_mode(ctx);
    const auto* ca_list = ssl.ctx_client_ca_list(ctx);
    const Seen* known = seen_.load(std::memory_order_acquire);
    if (known != nullptr && known->certificate == certificate && known->verify_mode == verify_mode &&
        known->ca_list == ca_list &&
        known->ca_count == (ca_list != nullptr ? sk_X509_NAME_num(ca_list) : 0)) {
        return known;
    }
    auto fresh = std::make_unique<Seen>(certificate, verify_mode, ca_list, known);
    ContextFacts facts;
    facts.verify_mode = verify_mode;
    if (certificate != nullptr) {
        unsigned char* der = nullptr;
        const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        if (size <= 0) {
            return nullptr;
        }
        facts.spki.assign(der, der + size);
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
    if (!clients.finish(facts.clients)) {
        return nullptr;
    }
    fresh->facts = shared(std::move(facts));
    if (seen_.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
        return fresh.release();
    }
    return known;  // another thread's, of this same moment
}

const ContextFacts* FactsOfContext::of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept {
    try {
        const Seen* seen = look(ssl, ctx);
        return seen != nullptr ? seen->facts : nullptr;
    } catch (const std::exception&) {
        return nullptr;
    }
}

}  // namespace stek
