#include "daemon/fleet/certificates.hpp"

#include "daemon/error_queue.hpp"
#include "daemon/fleet/party.hpp"
#include "provider/file.hpp"
#include "provider/key_ring.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <stdexcept>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

namespace stek::fleet {
namespace {

constexpr long day = 86400, an_hour = 3600;
constexpr int serial_bits = 127;  // RFC 5280, 4.1.2.2: at most 20 bytes, positive

struct FreeBio {
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + newest_reason());
}

void require(bool ok, const std::string& what) {
    if (!ok)
        fail(what);
}

void add_name(X509_NAME* name, const char* field, const std::string& value) {
    require(X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC,
                                       reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0) == 1,
            "subject " + value);
}

/// Such that a server writes it as NatsAccess::user has it: RFC 2253 begins with the last.
void set_subject(X509_NAME* name, const NatsParty& party) {
    add_name(name, "O", name_of(party.role));
    if (!party.location.empty())
        add_name(name, "OU", party.location);
    add_name(name, "CN", party.name);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
        X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), X509_EXTENSION_free);
    require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension " + value);
}

CertificatePtr begin(EVP_PKEY* key, unsigned days) {
    CertificatePtr certificate(X509_new());
    const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> serial(BN_new(), BN_free);
    require(certificate && serial && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
                X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -an_hour) != nullptr &&
                X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(days) * day) !=
                    nullptr &&
                X509_set_pubkey(certificate.get(), key) == 1,
            "certificate");
    return certificate;
}

void sign(X509* certificate, const Authority& authority) {
    require(X509_set_issuer_name(certificate, X509_get_subject_name(authority.certificate)) == 1, "issuer");
    add_extension(certificate, authority.certificate, NID_authority_key_identifier, "keyid");
    require(X509_sign(certificate, authority.key, EVP_sha256()) > 0, "certificate's signature");
}

CertificatePtr begin_end_entity(const Authority& authority, EVP_PKEY* key, unsigned days, const char* usage) {
    auto certificate = begin(key, days);
    add_extension(certificate.get(), authority.certificate, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate.get(), authority.certificate, NID_key_usage, "critical,digitalSignature");
    add_extension(certificate.get(), authority.certificate, NID_ext_key_usage, usage);
    return certificate;
}

std::string alternative_name(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    return (is_address ? "IP:" : "DNS:") + host;
}

template <class Write>
std::string in_pem(const Write& write) {
    const EmptyQueue queue;
    const BioPtr text(BIO_new(BIO_s_mem()));
    require(text && write(text.get()) == 1, "PEM");
    char* pem = nullptr;
    const long size = BIO_get_mem_data(text.get(), &pem);
    return {pem, static_cast<std::size_t>(size)};
}

template <class Object, class Read>
Object from_pem(const std::string& path, const char* what, const Read& read) {
    const EmptyQueue queue;
    const BioPtr file(BIO_new_file(path.c_str(), "r"));
    Object object(file ? read(file.get()) : nullptr);
    require(object != nullptr, std::string(what) + " " + path);
    return object;
}

std::string field_of(X509_NAME* name, int nid) {
    std::array<char, 128> text{};
    const int size = X509_NAME_get_text_by_NID(name, nid, text.data(), static_cast<int>(text.size()));
    return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

PrivateKeyPtr make_private_key() {
    const EmptyQueue queue;
    PrivateKeyPtr key(EVP_EC_gen("P-256"));
    require(key != nullptr, "a P-256 pair");
    return key;
}

CertificatePtr make_authority(const std::string& common_name, EVP_PKEY* key, unsigned days) {
    const EmptyQueue queue;
    auto certificate = begin(key, days);
    auto* const self = certificate.get();
    add_name(X509_get_subject_name(self), "CN", common_name);
    add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(self, self, NID_key_usage, "critical,keyCertSign");
    add_extension(self, self, NID_subject_key_identifier, "hash");
    sign(self, {self, key});
    return certificate;
}

CertificatePtr issue_to_party(const Authority& authority, const NatsParty& party, EVP_PKEY* its_key,
                              unsigned days) {
    const EmptyQueue queue;
    auto certificate = begin_end_entity(authority, its_key, days, "clientAuth");
    set_subject(X509_get_subject_name(certificate.get()), party);
    sign(certificate.get(), authority);
    return certificate;
}

CertificatePtr issue_to_server(const Authority& authority, const std::string& name,
                               const std::vector<std::string>& hosts, EVP_PKEY* its_key, unsigned days) {
    const EmptyQueue queue;
    auto certificate = begin_end_entity(authority, its_key, days, "serverAuth,clientAuth");
    add_name(X509_get_subject_name(certificate.get()), "O", "server");
    add_name(X509_get_subject_name(certificate.get()), "CN", name);
    std::string names;
    for (const auto& host : hosts)
        names += (names.empty() ? "" : ",") + alternative_name(host);
    add_extension(certificate.get(), authority.certificate, NID_subject_alt_name, names);
    sign(certificate.get(), authority);
    return certificate;
}

RequestPtr make_certificate_request(const NatsParty& party, EVP_PKEY* key) {
    const EmptyQueue queue;
    RequestPtr request(X509_REQ_new());
    require(request && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                X509_REQ_set_pubkey(request.get(), key) == 1,
            "request");
    set_subject(X509_REQ_get_subject_name(request.get()), party);
    require(X509_REQ_sign(request.get(), key, EVP_sha256()) > 0, "request's signature");
    return request;
}

NatsParty party_of(X509_REQ* request) {
    const EmptyQueue queue;
    require(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1, "the request's signature");
    auto* const subject = X509_REQ_get_subject_name(request);
    const auto role = field_of(subject, NID_organizationName);
    for (const auto known : {NatsRole::root, NatsRole::origin, NatsRole::vault, NatsRole::machine}) {
        if (role != name_of(known))
            continue;
        NatsParty party{known, field_of(subject, NID_commonName),
                        field_of(subject, NID_organizationalUnitName)};
        const bool has_location = known == NatsRole::vault || known == NatsRole::machine;
        if (is_party_name(party.name) && has_location == !party.location.empty() &&
            (!has_location || is_location(party.location)) &&
            X509_NAME_entry_count(subject) == (has_location ? 3 : 2))
            return party;
    }
    throw std::runtime_error("the request's subject is no party of a fleet");
}

std::string fingerprint(X509_REQ* request) {
    const EmptyQueue queue;
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(request), &der);
    const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(
        der, [](unsigned char* bytes) { OPENSSL_free(bytes); });
    require(size > 0, "the request's key");
    return in_groups(sha256_of({der, static_cast<std::size_t>(size)}));
}

Validity validity_of(const X509* certificate) {
    const EmptyQueue queue;
    const auto seconds_until = [](const ASN1_TIME* time) {
        int days = 0, seconds = 0;
        require(ASN1_TIME_diff(&days, &seconds, nullptr, time) == 1, "a certificate's time");
        return std::int64_t{days} * day + seconds;
    };
    return {seconds_until(X509_get0_notBefore(certificate)), seconds_until(X509_get0_notAfter(certificate))};
}

std::string to_pem(X509* certificate) {
    return in_pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

std::string to_pem(X509_REQ* request) {
    return in_pem([&](BIO* out) { return PEM_write_bio_X509_REQ(out, request); });
}

CertificatePtr read_certificate(const std::string& path) {
    return from_pem<CertificatePtr>(path, "certificate",
                                    [](BIO* in) { return PEM_read_bio_X509(in, nullptr, nullptr, nullptr); });
}

RequestPtr read_certificate_request(const std::string& path) {
    return from_pem<RequestPtr>(path, "certificate request",
                                [](BIO* in) { return PEM_read_bio_X509_REQ(in, nullptr, nullptr, nullptr); });
}

void write_private_key(const std::string& path, EVP_PKEY* key) {
    const EmptyQueue queue;
    const BioPtr text(BIO_new(BIO_s_secmem()));
    require(text && PEM_write_bio_PrivateKey(text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
            "a key in PEM");
    char* pem = nullptr;
    const long size = BIO_get_mem_data(text.get(), &pem);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file)
        throw_errno("cannot make", path);
    write_all(file.get(), {reinterpret_cast<const std::uint8_t*>(pem), static_cast<std::size_t>(size)}, path);
    if (::fsync(file.get()) != 0)
        throw_errno("cannot sync", path);
}

PrivateKeyPtr read_private_key(const std::string& path) {
    return from_pem<PrivateKeyPtr>(
        path, "key", [](BIO* in) { return PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr); });
}

}  // namespace stek::fleet
