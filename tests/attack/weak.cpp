#include "tests/attack/weak.hpp"

#include "provider/probe_acts.hpp"
#include "tests/token/open_token.hpp"

#include <ctime>

#include <openssl/rand.h>
#include <openssl/rsa.h>

namespace stek::attack {

namespace {

TicketPair make_weak_pair(pkcs11::Session& session) {
    TicketPair pair;
    session.random(pair.id);
    const std::array<std::uint8_t, 3> f4{1, 0, 1};
    pkcs11::Attributes open, secret;
    open.number(CKA_MODULUS_BITS, 3072).bytes(CKA_PUBLIC_EXPONENT, f4).flag(CKA_TOKEN, true);
    open.flag(CKA_WRAP, true).flag(CKA_PRIVATE, false);
    secret.flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_SENSITIVE, false)
        .flag(CKA_EXTRACTABLE, true);
    for (pkcs11::Attributes* half : {&open, &secret})
        half->bytes(CKA_ID, pair.id).text(CKA_LABEL, "stekd ticket pair");
    for (const CK_ATTRIBUTE_TYPE use : {CKA_UNWRAP, CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_DERIVE})
        secret.flag(use, true);
    CK_MECHANISM by{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    pair.spki = read_rsa_spki(session, session.generate_key_pair(by, open, secret).public_key);
    return pair;
}

}  // namespace

WeakToken::WeakToken() : stek_(32) {
    const auto made = softhsm_.make_token("weak");
    RAND_bytes(stek_.data(), static_cast<int>(stek_.size()));
    KeyRing ring;
    {
        auto session =
            tests::log_in(tests::find_token(tests::SoftHsm::uri(made)), "file:" + made.pin_file.string());
        const TicketPair pair = make_weak_pair(session);
        const EvpPkey key = parse_rsa_spki(pair.spki);
        auto record = std::make_unique<RingRecord>();
        record->epoch = 1;
        record->not_before = std::time(nullptr) - 1;
        record->seal_until = record->open_until = record->not_before + 3600;
        record->pair = pair.id;
        record->wrapped_key = probe::seal_to(key.get(), stek_, RSA_PKCS1_OAEP_PADDING, record->oaep);
        ring.location = "weak";
        ring.token_serial = session.token().serial();
        ring.records.push_back(std::move(record));
    }
    tests::SoftHsm::finalize();
    replace_ring_file(ring_file(), encode_ring(ring).bytes(), [](int) {});
}

}  // namespace stek::attack
