// The certificates by which an engine's servers and a fleet's parties know each other (RFC 5280).
//
// They are for the engine only: nobody believes a frame because of one.
#pragma once

#include "daemon/fleet/nats_access.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace stek::fleet {

struct FreeX509 {
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(X509_REQ* request) const noexcept { X509_REQ_free(request); }
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using CertificatePtr = std::unique_ptr<X509, FreeX509>;
using RequestPtr = std::unique_ptr<X509_REQ, FreeX509>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, FreeX509>;

/// Whoever signs certificates; the key may be in a token. Borrowed.
struct Authority {
    X509* certificate;
    EVP_PKEY* key;
};

// All functions throw std::runtime_error with OpenSSL's reason.

/// A P-256 pair in memory.
PrivateKeyPtr make_private_key();
/// Self-signed, to sign end entities' only.
CertificatePtr make_authority(const std::string& common_name, EVP_PKEY* key, unsigned days);
/// To connect with, as that party.
CertificatePtr issue_to_party(const Authority& authority, const NatsParty& party, EVP_PKEY* its_key,
                              unsigned days);
/// For a server, and to connect to other servers with. `hosts`: names or addresses.
CertificatePtr issue_to_server(const Authority& authority, const std::string& name,
                               const std::vector<std::string>& hosts, EVP_PKEY* its_key, unsigned days);

/// A PKCS#10 request for that party, signed with the key.
RequestPtr make_certificate_request(const NatsParty& party, EVP_PKEY* key);
/// Whose it is, after its signature is verified. Throws for a subject that is no party's.
NatsParty party_of(X509_REQ* request);
/// Of its SubjectPublicKeyInfo (DER), as in_groups().
std::string fingerprint(X509_REQ* request);

/// Seconds from now on; below 0: that is over.
struct Validity {
    std::int64_t begins_in, ends_in;
};
Validity validity_of(const X509* certificate);

std::string to_pem(X509* certificate);
std::string to_pem(X509_REQ* request);
CertificatePtr read_certificate(const std::string& path);
RequestPtr read_certificate_request(const std::string& path);
/// PKCS#8, 0600; must not be there yet. The text never is in memory that does not wipe itself.
void write_private_key(const std::string& path, EVP_PKEY* key);
PrivateKeyPtr read_private_key(const std::string& path);

}  // namespace stek::fleet
