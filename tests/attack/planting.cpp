// Objects that are to stay in the token: a pair for stekd to wrap to, a key, anything. And what an old ring
// is good for.
#include "pkcs11/error.hpp"
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

const std::vector<std::uint8_t> f4{1, 0, 1};

Template of_stekd(const Worker& worker, CK_OBJECT_CLASS half) {
    return {number(CKA_CLASS, half),
            number(CKA_KEY_TYPE, CKK_RSA),
            flag(CKA_TOKEN, true),
            flag(CKA_PRIVATE, false),
            text(CKA_LABEL, "stekd ticket pair"),
            {CKA_ID, {worker.record->pair.begin(), worker.record->pair.end()}}};
}
/// Only what another process finds has been planted.
Loot planted(Worker& worker, CK_RV rv) {
    Loot loot = gained(rv, "it is in the token");
    const auto left = worker.find({flag(CKA_TOKEN, true), text(CKA_LABEL, "mine")});
    if (rv != CKR_OK && !left.empty())
        loot.why = "left in this process only";
    return loot;
}

}  // namespace

void add_planting(Attempts& to) {
    to.push_back({"plant", "a pair of one's own by the name of stekd's", [](Worker& worker) {
                      Template open = of_stekd(worker, CKO_PUBLIC_KEY),
                               secret = of_stekd(worker, CKO_PRIVATE_KEY);
                      open.push_back(number(CKA_MODULUS_BITS, 2048));
                      open.push_back({CKA_PUBLIC_EXPONENT, f4});
                      auto first = raw(open), second = raw(secret);
                      CK_MECHANISM by{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
                      CK_OBJECT_HANDLE made[2];
                      return planted(worker, worker.p.C_GenerateKeyPair(worker.session, &by, first.data(),
                                                                        first.size(), second.data(),
                                                                        second.size(), &made[0], &made[1]));
                  }});
    to.push_back({"plant", "a public key of one's own by the name of stekd's", [](Worker& worker) {
                      Template open = of_stekd(worker, CKO_PUBLIC_KEY);
                      open.push_back({CKA_MODULUS, std::vector<std::uint8_t>(256, 0xC5)});
                      open.push_back({CKA_PUBLIC_EXPONENT, f4});
                      CK_RV rv = CKR_OK;
                      worker.create(open, rv);
                      return planted(worker, rv);
                  }});
    to.push_back({"plant", "a wrapping key in the token", [](Worker& worker) {
                      CK_RV rv = CKR_OK;
                      worker.create(after(with(greedy(), flag(CKA_TOKEN, true)),
                                          {CKA_VALUE, std::vector<std::uint8_t>(32, 7)}),
                                    rv);
                      return planted(worker, rv);
                  }});
    to.push_back({"plant", "a generated key in the token", [](Worker& worker) {
                      Template all = after(with(greedy(), flag(CKA_TOKEN, true)), number(CKA_VALUE_LEN, 32));
                      auto list = raw(all);
                      CK_MECHANISM by{CKM_AES_KEY_GEN, nullptr, 0};
                      CK_OBJECT_HANDLE key = 0;
                      return planted(worker, worker.p.C_GenerateKey(worker.session, &by, list.data(),
                                                                    list.size(), &key));
                  }});
    to.push_back({"plant", "a data object", [](Worker& worker) {
                      CK_RV rv = CKR_OK;
                      worker.create({number(CKA_CLASS, CKO_DATA), flag(CKA_TOKEN, true),
                                     flag(CKA_PRIVATE, false), text(CKA_LABEL, "mine"), text(CKA_VALUE, "x")},
                                    rv);
                      return planted(worker, rv);
                  }});
    to.push_back({"plant", "a derived key in the token, from a key of one's own", [](Worker& worker) {
                      Loot loot = worker.derived_by(mechanism(CKM_AES_ECB_ENCRYPT_DATA), worker.own(),
                                                    with(greedy(), flag(CKA_TOKEN, true)));
                      loot.bytes.clear();
                      return loot;
                  }});
    to.push_back({"plant", "a copy of a key of one's own, into the token", [](Worker& worker) {
                      Template into{flag(CKA_TOKEN, true)};
                      auto list = raw(into);
                      CK_OBJECT_HANDLE copy = 0;
                      return planted(worker, worker.p.C_CopyObject(worker.session, worker.own(), list.data(),
                                                                   list.size(), &copy));
                  }});
    to.push_back(
        {"plant", "a private half of one's own in this process, by the pair's id", [](Worker& worker) {
             CK_RV rv = CKR_OK;
             Template secret = with(of_stekd(worker, CKO_PRIVATE_KEY), flag(CKA_TOKEN, false));
             for (const CK_ATTRIBUTE_TYPE part : {CKA_MODULUS, CKA_PRIVATE_EXPONENT})
                 secret.push_back({part, std::vector<std::uint8_t>(256, 0xC5)});
             secret.push_back({CKA_PUBLIC_EXPONENT, f4});
             worker.create(secret, rv);
             return harmless(rv, "an object of one's own session, seen by nobody else");
         }});
}

/// With the ring of before a revocation: every record by the pair that it names, and by every pair there is.
void add_old_ring(Attempts& to) {
    to.push_back(
        {"replay", "each record of the old ring by its own pair", [](Worker& worker) {
             Loot loot = answered(CKR_OBJECT_HANDLE_INVALID);
             for (const auto& record : worker.ring->records)
                 for (const auto pair : worker.find({number(CKA_CLASS, CKO_PRIVATE_KEY),
                                                     {CKA_ID, {record->pair.begin(), record->pair.end()}}})) {
                     CK_OBJECT_HANDLE key = 0;
                     const CK_RV rv = worker.unwrap(oaep(), narrow(), key, pair, record->wrapped_key);
                     loot = gained(rv, "a revoked key can be used");
                 }
             return loot;
         }});
    to.push_back({"replay", "each record of the old ring by every pair in the token", [](Worker& worker) {
                      Loot loot = answered(CKR_OBJECT_HANDLE_INVALID);
                      for (const auto& record : worker.ring->records)
                          for (const auto pair : worker.find({number(CKA_CLASS, CKO_PRIVATE_KEY)})) {
                              CK_OBJECT_HANDLE key = 0;
                              const CK_RV rv =
                                  worker.unwrap(oaep(), narrow(), key, pair, record->wrapped_key);
                              if (rv == CKR_OK)
                                  return gained(rv, "a revoked key can be used");
                              loot.rv = rv;
                          }
                      return loot;
                  }});
}

}  // namespace stek::attack
