// The provider's section of the configuration, as OpenSSL's core hands it out.
#pragma once

#include <map>
#include <string>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

namespace stek {

/// The values of the keys that we know, and, so that a misspelt one is noticed, any other key that stands in
/// our section of the default configuration file ($OPENSSL_CONF or the system's): OpenSSL 3.0 tells a
/// provider only what it asks for by name. A program that loaded another file keeps its misspelt keys to
/// itself; `stekd --check` reads the file it made.
std::map<std::string, std::string> read_section(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* from_core);

}  // namespace stek
