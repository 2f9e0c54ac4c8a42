// STEK-AES-256-GCM: the OpenSSL cipher whose key is a name and whose work is done in the token.
#pragma once

#include <openssl/core_dispatch.h>

namespace stek {

/// One data update per message; additional data comes in updates with no output, before it. Encrypting:
/// update gives the ciphertext, final the 16-byte tag. Decrypting: update takes ciphertext and tag together;
/// a bad tag is an empty update and a failing final, with nothing of the plaintext let out. Parameter
/// `key-name` (16 octets) chooses the STEK; without it, encrypting takes the key of the hour. A context is
/// for one thread.
extern const OSSL_DISPATCH cipher_functions[];

}  // namespace stek
