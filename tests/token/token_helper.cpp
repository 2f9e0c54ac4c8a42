// Another process with the token: one that is killed at work, one that is another user.
//
//   token_helper advance URI                      logs in, prints "ready", then "advanced" for each step
//   token_helper make-pairs URI                   logs in, prints "ready", then makes and destroys pairs
//   token_helper seal URI PAIR HASH WRAPPED       unwraps in a read-only session without login; prints what
//                                                 GCM with a zero IV makes of 16 zero bytes (hexadecimal)
//   token_helper write URI                        tries to make a token object; prints what became of it
#include "provider/ticket_token.hpp"
#include "provider/vault.hpp"
#include "tests/token/open_token.hpp"

#include <array>
#include <iostream>

using namespace stek;
using namespace stek::tests;

namespace {

pkcs11::Session logged_in(const std::string& uri) {
    return log_in(find_token(uri), pkcs11::TokenUri::parse(uri).pin_source().value());
}

[[noreturn]] void advance(const std::string& uri) {
    pkcs11::Session session = logged_in(uri);
    Chain chain(session);
    std::cout << "ready" << std::endl;
    for (;;) {
        chain.advance(1, chain.position().value().epoch + 1);
        std::cout << "advanced" << std::endl;
    }
}

[[noreturn]] void make_pairs(const std::string& uri) {
    pkcs11::Session session = logged_in(uri);
    std::cout << "ready" << std::endl;
    for (;;)
        destroy_ticket_pair(session, make_ticket_pair(session, false).id);
}

int seal(const std::string& uri, const std::string& pair, const std::string& hash,
         const std::string& wrapped) {
    RingRecord record;
    const auto id = from_hex(pair);
    std::copy_n(id.begin(), record.pair.size(), record.pair.begin());
    record.oaep = hash == "SHA256" ? OaepHash::sha256 : OaepHash::sha1;
    record.wrapped_key = from_hex(wrapped);
    pkcs11::Session session(find_token(uri), pkcs11::Access::read_only);
    const CK_OBJECT_HANDLE key = unwrap_stek(session, record);
    std::array<std::uint8_t, 12> iv{};
    const std::array<std::uint8_t, 16> plain{};
    std::array<std::uint8_t, 32> out{};
    CK_GCM_PARAMS params{iv.data(), iv.size(), 96, nullptr, 0, 128};
    CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
    CK_RV rv = CKR_OK;
    session.encrypt(mechanism, key, plain, out, rv);
    pkcs11::check("C_Encrypt", rv);
    std::cout << to_hex(out) << std::endl;
    return 0;
}

int write(const std::string& uri) {
    pkcs11::Session session(find_token(uri), pkcs11::Access::read_write);
    pkcs11::Attributes object;
    object.number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false).text(CKA_LABEL, "x");
    session.create(object);
    std::cout << "written" << std::endl;
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    try {
        const std::vector<std::string> words(arguments + 1, arguments + count);
        if (words.size() == 2 && words[0] == "advance")
            advance(words[1]);
        if (words.size() == 2 && words[0] == "make-pairs")
            make_pairs(words[1]);
        if (words.size() == 5 && words[0] == "seal")
            return seal(words[1], words[2], words[3], words[4]);
        if (words.size() == 2 && words[0] == "write")
            return write(words[1]);
        std::cout << "see the head of token_helper.cpp" << std::endl;
        return 2;
    } catch (const std::exception& error) {
        std::cout << error.what() << std::endl;
        return 1;
    }
}
