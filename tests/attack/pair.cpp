// The pair's private half used for anything but unwrapping.
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

void reads(Attempts& to) {
    for (const auto& [name, type] : {std::pair{"CKA_PRIVATE_EXPONENT", CKA_PRIVATE_EXPONENT},
                                     {"CKA_PRIME_1", CKA_PRIME_1},
                                     {"CKA_PRIME_2", CKA_PRIME_2},
                                     {"CKA_EXPONENT_1", CKA_EXPONENT_1},
                                     {"CKA_EXPONENT_2", CKA_EXPONENT_2},
                                     {"CKA_COEFFICIENT", CKA_COEFFICIENT},
                                     {"CKA_VALUE", CKA_VALUE}})
        to.push_back({"pair", std::string("read ") + name, [type = type](Worker& worker) {
                          std::vector<std::uint8_t> value(1024);
                          CK_ATTRIBUTE one{type, value.data(), value.size()};
                          const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, worker.pair, &one, 1);
                          return gained(rv, "the private key is readable");
                      }});
    to.push_back({"pair", "read the private exponent beside the modulus, in one call", [](Worker& worker) {
                      std::vector<std::uint8_t> open(1024), secret(1024);
                      CK_ATTRIBUTE both[] = {{CKA_MODULUS, open.data(), open.size()},
                                             {CKA_PRIVATE_EXPONENT, secret.data(), secret.size()}};
                      const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, worker.pair, both, 2);
                      Loot loot = answered(rv);
                      if (std::ranges::any_of(secret, [](std::uint8_t byte) { return byte != 0; }))
                          loot.use = "the exponent was written";
                      return loot;
                  }});
}

void crypts(Attempts& to, const Mechanisms& known) {
    Mechanisms all = known;
    all.push_back({CKM_RSA_AES_KEY_WRAP, CKF_DECRYPT | CKF_SIGN});
    for (const auto& [type, flags] : all) {
        const std::string by = " by " + mechanism_text(type);
        if ((flags & (CKF_DECRYPT | CKF_ENCRYPT)) != 0)
            to.push_back({"pair", "decrypt" + by, [type = type](Worker& worker) {
                              return worker.encrypted_by(mechanism(type), worker.pair, true,
                                                         worker.record->wrapped_key);
                          }});
        if ((flags & CKF_SIGN) != 0)
            to.push_back({"pair", "sign" + by, [type = type](Worker& worker) {
                              return worker.signed_by(mechanism(type), worker.pair, false);
                          }});
        if ((flags & CKF_DERIVE) != 0)
            to.push_back({"pair", "derive" + by, [type = type](Worker& worker) {
                              return worker.derived_by(mechanism(type), worker.pair);
                          }});
        if ((flags & CKF_WRAP) != 0)
            to.push_back({"pair", "wrap the private half" + by,
                          [type = type](Worker& worker) { return worker.wrapped_out(type, worker.pair); }});
    }
    for (const CK_MECHANISM_TYPE type : {CKM_RSA_PKCS, CKM_RSA_X_509, CKM_RSA_9796}) {
        to.push_back({"pair", "C_SignRecover by " + mechanism_text(type), [type](Worker& worker) {
                          CK_RV rv =
                              worker.p.C_SignRecoverInit(worker.session, &mechanism(type), worker.pair);
                          std::vector<std::uint8_t> data(32), out(512);
                          CK_ULONG size = out.size();
                          const CK_RV then = worker.p.C_SignRecover(worker.session, data.data(), data.size(),
                                                                    out.data(), &size);
                          return gained(rv == CKR_OK ? rv : then, "signs with recovery");
                      }});
    }
    to.push_back({"pair", "C_DigestKey over the private half", [](Worker& worker) {
                      CK_RV rv = worker.p.C_DigestInit(worker.session, &mechanism(CKM_SHA256));
                      if (rv == CKR_OK)
                          rv = worker.p.C_DigestKey(worker.session, worker.pair);
                      return gained(rv, "digests the private half");
                  }});
    to.push_back({"pair", "wrap a key of one's own to the public half in the token", [](Worker& worker) {
                      Loot loot = worker.wrapped_out(CKM_RSA_PKCS_OAEP, worker.own(), worker.public_half);
                      loot.bytes.clear();
                      loot.use.clear();
                      loot.why = "to the public half anybody can wrap what he knows";
                      return loot;
                  }});
}

}  // namespace

void add_pair(Attempts& to, const Mechanisms& known) {
    reads(to);
    crypts(to, known);
}

}  // namespace stek::attack
