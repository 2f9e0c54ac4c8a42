#include "provider/context_facts.hpp"

#include "provider/framed_hash.hpp"
#include "provider/thread_own.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include <openssl/x509.h>

namespace stek {

namespace {

// A quarter stays free, so that who looks for what is not there soon meets a free place.
std::array<std::atomic<const ContextFacts*>, 65535> all_facts;
static_assert(max_context_facts <= all_facts.size() * 3 / 4);
std::atomic<std::size_t> how_many{0};

std::size_t hash_of(const ContextFacts& facts) noexcept {
    const auto text = [](const auto& bytes) {
        return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    const std::hash<std::string_view> hash;
    return hash(text(facts.spki)) ^ hash(text(facts.clients)) << 1;
}

/// The one object with these facts: at the place that their hash says, or the next that is free.
const ContextFacts* shared(const ContextFacts& facts) {
    std::unique_ptr<ContextFacts> fresh;
    const std::size_t first = hash_of(facts) % all_facts.size();
    for (std::size_t tried = 0; tried < all_facts.size(); ++tried) {
        const std::size_t i = (first + tried) % all_facts.size();
        const ContextFacts* known = all_facts[i].load(std::memory_order_acquire);
        if (known == nullptr) {
            if (how_many.load(std::memory_order_relaxed) >= max_context_facts) {
                return nullptr;
            }
            if (!fresh) {
                fresh = std::make_unique<ContextFacts>(facts);
            }
            fresh->number = static_cast<std::uint16_t>(i + 1);
            if (all_facts[i].compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
                how_many.fetch_add(1, std::memory_order_relaxed);
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

bool same_names(CaList one, CaList other) noexcept {
    const int count = size_of(one);
    if (count != size_of(other)) {
        return false;
    }
    for (int i = 0; i < count; ++i) {
        if (X509_NAME_cmp(sk_X509_NAME_value(one, i), sk_X509_NAME_value(other, i)) != 0) {
            return false;
        }
    }
    return true;
}

/// Those of a connection; the SSL holds them.
struct Certificates {
    static constexpr std::size_t most = 16;  // libssl has 9 kinds
    std::array<X509*, most> at{};
    std::size_t count = 0;

    [[nodiscard]] std::span<X509* const> all() const noexcept { return std::span(at).first(count); }
};

/// libssl tells of one at a time, the current one, which is left as it was.
Certificates certificates_of(const LibSsl& libssl, SSL* ssl) noexcept {
    Certificates found;
    X509* const current = libssl.certificate(ssl);
    const auto go_to = [&](long which) {
        return libssl.ctrl(ssl, SSL_CTRL_SET_CURRENT_CERT, which, nullptr) == 1;
    };
    const auto come_back = [&] { return libssl.ctrl(ssl, SSL_CTRL_SELECT_CURRENT_CERT, 0, current) == 1; };
    if (current == nullptr) {
        return found;
    }
    if (!come_back()) {  // it has no private key: there would be no way back
        found.at[found.count++] = current;
        return found;
    }
    for (bool there = go_to(SSL_CERT_SET_FIRST); there && found.count < Certificates::most;
         there = go_to(SSL_CERT_SET_NEXT)) {
        found.at[found.count++] = libssl.certificate(ssl);
    }
    static_cast<void>(come_back());
    return found;
}

/// Null if libcrypto fails, or there are too many.
const ContextFacts* gather(const Certificates& certificates, int verify_mode, CaList ca_list) {
    ContextFacts facts;
    facts.verify_mode = verify_mode;
    for (X509* const certificate : certificates.all()) {
        unsigned char* der = nullptr;
        const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        if (size <= 0) {
            return nullptr;
        }
        facts.spki.insert(facts.spki.end(), der, der + size);
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

struct Free {
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(STACK_OF(X509_NAME) * names) const noexcept {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
    }
};

/// What a thread has met, with all that tells it again.
struct Met {
    // References: as long as they are held, no other certificate has the address of one.
    std::vector<std::unique_ptr<X509, Free>> certificates;
    int verify_mode = 0;
    std::unique_ptr<STACK_OF(X509_NAME), Free> ca_names;
    const ContextFacts* facts = nullptr;  ///< null: nothing is known

    [[nodiscard]] bool is(const Certificates& wanted, int mode, CaList names) const noexcept {
        const auto all = wanted.all();
        return facts != nullptr && verify_mode == mode &&
               std::equal(certificates.begin(), certificates.end(), all.begin(), all.end(),
                          [](const auto& one, X509* other) { return one.get() == other; }) &&
               same_names(ca_names.get(), names);
    }
    void remember(const Certificates& seen, int mode, CaList names, const ContextFacts* of_them) {
        facts = nullptr;  // until all of it is there
        certificates.clear();
        ca_names.reset();
        for (X509* const certificate : seen.all()) {
            if (X509_up_ref(certificate) != 1) {
                return;
            }
            certificates.emplace_back(certificate);
        }
        if (size_of(names) > 0) {
            ca_names.reset(sk_X509_NAME_deep_copy(names, X509_NAME_dup, X509_NAME_free));
            if (!ca_names) {
                return;
            }
        }
        verify_mode = mode;
        facts = of_them;
    }
};
constexpr std::size_t most_met = 64;
using AllMet = std::array<Met, most_met>;

}  // namespace

const ContextFacts* context_facts(std::uint16_t number) noexcept {
    return number == 0 ? nullptr : all_facts[number - 1U].load(std::memory_order_acquire);
}

const ContextFacts* facts_of(const LibSsl& libssl, SSL* ssl) noexcept {
    const Certificates certificates = certificates_of(libssl, ssl);
    const int verify_mode = libssl.verify_mode(ssl);
    const CaList ca_list = libssl.client_ca_list(ssl);
    try {
        auto* const all_met = thread_own<AllMet>();
        if (all_met == nullptr) {
            return gather(certificates, verify_mode, ca_list);
        }
        // By the address of a certificate, whose lowest bits say nothing.
        Met& place = (*all_met)[(reinterpret_cast<std::uintptr_t>(certificates.at.front()) >> 6 ^
                                 static_cast<unsigned>(verify_mode)) %
                                most_met];
        if (place.is(certificates, verify_mode, ca_list)) {
            return place.facts;
        }
        const ContextFacts* facts = gather(certificates, verify_mode, ca_list);
        // Not remembered where it failed: that may work next time.
        place.remember(certificates, verify_mode, ca_list, facts);
        return facts;
    } catch (const std::exception&) {
        return nullptr;
    }
}

}  // namespace stek
