#include "provider/context_facts.hpp"

#include "provider/framed_hash.hpp"

#include <algorithm>
#include <memory>

#include <openssl/x509.h>

namespace stek {

namespace {

std::array<std::atomic<const ContextFacts*>, max_context_facts> all_facts;

/// The one object with these facts.
const ContextFacts* shared(const ContextFacts& facts) {
    std::unique_ptr<ContextFacts> fresh;
    for (std::size_t i = 0; i < all_facts.size(); ++i) {
        const ContextFacts* known = all_facts[i].load(std::memory_order_acquire);
        if (known == nullptr) {
            if (!fresh) {
                fresh = std::make_unique<ContextFacts>(facts);
            }
            fresh->number = static_cast<std::uint16_t>(i + 1);
            if (all_facts[i].compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
                return fresh.release();
            }
        }
        if (known->spki == facts.spki && known->clients == facts.clients) {
            return known;
        }
    }
    return nullptr;
}

using CaList = const STACK_OF(X509_NAME) *;

int size_of(CaList list) noexcept {
    return list != nullptr ? sk_X509_NAME_num(list) : 0;
}

/// HAProxy gives each SSL a copy of its SSL_CTX's.
bool same_names(CaList one, CaList other) noexcept {
    const int count = size_of(one);
    if (one == other || count != size_of(other)) {
        return one == other;
    }
    for (int i = 0; i < count; ++i) {
        if (X509_NAME_cmp(sk_X509_NAME_value(one, i), sk_X509_NAME_value(other, i)) != 0) {
            return false;
        }
    }
    return true;
}

/// Null if libcrypto fails, or there are too many.
const ContextFacts* gather(X509* certificate, int verify_mode, CaList ca_list) {
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
    for (int i = 0; i < size_of(ca_list); ++i) {
        unsigned char* der = nullptr;
        const int size = i2d_X509_NAME(sk_X509_NAME_value(ca_list, i), &der);
        if (size <= 0) {
            return nullptr;
        }
        clients.part(Bytes(der, static_cast<std::size_t>(size)));
        OPENSSL_free(der);
    }
    return clients.finish(facts.clients) ? shared(facts) : nullptr;
}

}  // namespace

const ContextFacts* context_facts(std::uint16_t number) noexcept {
    return number == 0 ? nullptr : all_facts[number - 1U].load(std::memory_order_acquire);
}

struct FreeCertificate {
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

/// The facts, and what tells that they are still true.
struct FactsOfContext::Seen {
    X509* certificate;
    // As long as it is held, no other certificate has this address. The newest one holds it, which is enough:
    // who finds an older one has asked for the context's certificate before.
    mutable std::unique_ptr<X509, FreeCertificate> reference;
    int verify_mode;
    CaList ca_list;
    int ca_count;
    const Seen* older;
    const ContextFacts* facts = nullptr;

    Seen(X509* certificate, int verify_mode, CaList ca_list, const Seen* older)
        : certificate(certificate),
          verify_mode(verify_mode),
          ca_list(ca_list),
          ca_count(size_of(ca_list)),
          older(older) {
        if (certificate != nullptr && X509_up_ref(certificate) == 1) {
            reference.reset(certificate);
        }
    }
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
    const CaList ca_list = ssl.ctx_client_ca_list(ctx);
    const Seen* known = seen_.load(std::memory_order_acquire);
    if (known != nullptr && known->certificate == certificate && known->verify_mode == verify_mode &&
        known->ca_list == ca_list && known->ca_count == size_of(ca_list)) {
        return known;
    }
    auto fresh = std::make_unique<Seen>(certificate, verify_mode, ca_list, known);
    fresh->facts = gather(certificate, verify_mode, ca_list);
    if (fresh->facts == nullptr) {
        return nullptr;  // not remembered: what failed may work next time
    }
    const Seen* const older = known;
    if (seen_.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
        if (older != nullptr) {
            older->reference.reset();
        }
        context_changes.fetch_add(1, std::memory_order_release);
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

const ContextFacts* FactsOfContext::of(const LibSsl& ssl, const SSL_CTX* ctx, SSL* connection) noexcept {
    X509* const of_context = ssl.ctx_certificate(ctx);
    X509* const certificate = of_context != nullptr ? of_context : ssl.certificate(connection);
    if (certificate == of_context && !asks_by_itself(ssl, ctx, connection)) {
        return of(ssl, ctx);
    }
    try {
        return gather(certificate, ssl.verify_mode(connection), ssl.client_ca_list(connection));
    } catch (const std::exception&) {
        return nullptr;
    }
}

bool asks_by_itself(const LibSsl& ssl, const SSL_CTX* ctx, SSL* connection) noexcept {
    return ssl.verify_mode(connection) != ssl.ctx_verify_mode(ctx) ||
           !same_names(ssl.client_ca_list(connection), ssl.ctx_client_ca_list(ctx));
}

}  // namespace stek
