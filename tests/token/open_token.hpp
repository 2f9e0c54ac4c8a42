// A fresh SoftHSM with one token, and a read-write session that is logged in.
#pragma once

#include "pkcs11/module.hpp"
#include "pkcs11/session.hpp"
#include "pkcs11/token.hpp"
#include "pkcs11/uri.hpp"
#include "tests/fixtures/hex.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stek::tests {

inline std::shared_ptr<pkcs11::Token> find_token(const std::string& uri_text) {
    const auto uri = pkcs11::TokenUri::parse(uri_text);
    return pkcs11::Token::find(pkcs11::Module::initialize(pkcs11::Library::map(uri.module_path().value())),
                               uri);
}

inline pkcs11::Session log_in(const std::shared_ptr<pkcs11::Token>& token, const std::string& pin_source) {
    pkcs11::Session session(token, pkcs11::Access::read_write);
    token->login(session, pkcs11::read_pin(pin_source));
    return session;
}

struct OpenToken {
    explicit OpenToken(const std::string& label)
        : made(softhsm.make_token(label)),
          token(find_token(SoftHsm::uri(made))),
          session(log_in(token, "file:" + made.pin_file.string())) {}

    /// How many objects the token holds, whatever they are.
    std::size_t token_objects() {
        pkcs11::Attributes pattern;
        pattern.flag(CKA_TOKEN, true);
        return session.find(pattern).size();
    }
    std::size_t session_objects() {
        pkcs11::Attributes pattern;
        pattern.flag(CKA_TOKEN, false);
        return session.find(pattern).size();
    }

    SoftHsm softhsm;
    TestToken made;
    std::shared_ptr<pkcs11::Token> token;
    pkcs11::Session session;
};

}  // namespace stek::tests
