// A STEK as a server has it, used for anything but AES-GCM.
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

using Octets = std::vector<std::uint8_t>;

constexpr char no_wider[] = "the same as sealing and opening, which a worker may";

/// GCM with these parameters: whoever may seal may do that. What came out must not be the key.
Loot by_gcm(Worker& worker, CK_GCM_PARAMS with, bool decrypt, Octets in) {
    CK_MECHANISM by{CKM_AES_GCM, &with, sizeof with};
    Loot loot = worker.encrypted_by(by, worker.stek(), decrypt, std::move(in));
    loot.use.clear();
    loot.why = no_wider;
    return loot;
}

void reads(Attempts& to) {
    to.push_back({"STEK", "read CKA_VALUE", [](Worker& worker) {
                      Octets value(64);
                      CK_ATTRIBUTE one{CKA_VALUE, value.data(), value.size()};
                      const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, worker.stek(), &one, 1);
                      return gained(rv, "readable", value);
                  }});
    to.push_back({"STEK", "read CKA_VALUE beside others, in one call", [](Worker& worker) {
                      Octets value(64), id(64);
                      CK_ATTRIBUTE all[] = {{CKA_ID, id.data(), id.size()},
                                            {CKA_VALUE, value.data(), value.size()},
                                            {CKA_VALUE, value.data(), value.size()}};
                      Loot loot = answered(
                          worker.p.C_GetAttributeValue(worker.session, worker.stek(), all, std::size(all)));
                      loot.bytes = value;
                      if (std::ranges::any_of(value, [](std::uint8_t byte) { return byte != 0; }))
                          loot.use = "the value was written";
                      return loot;
                  }});
    to.push_back({"STEK", "CKA_VALUE into a buffer said to be of -1 bytes", [](Worker& worker) {
                      Octets value(256);
                      CK_ATTRIBUTE one{CKA_VALUE, value.data(), CK_UNAVAILABLE_INFORMATION};
                      const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, worker.stek(), &one, 1);
                      return gained(rv, "readable", value);
                  }});
    // PKCS#11 lets a key tell three bytes of what it makes of a block of zeros.
    to.push_back({"STEK", "read CKA_CHECK_VALUE", [](Worker& worker) {
                      Octets value(64);
                      CK_ATTRIBUTE one{CKA_CHECK_VALUE, value.data(), value.size()};
                      const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, worker.stek(), &one, 1);
                      return harmless(rv, "three bytes of GHASH's key, which sealing gives away as well",
                                      value);
                  }});
    to.push_back({"STEK", "read from every handle up to 4096", [](Worker& worker) {
                      worker.stek();
                      Loot loot = answered(CKR_ATTRIBUTE_SENSITIVE);
                      for (CK_OBJECT_HANDLE handle = 0; handle <= 4096; ++handle)
                          for (const CK_ATTRIBUTE_TYPE type : {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1})
                              if (const auto value = worker.read(handle, type); value && !value->empty())
                                  loot =
                                      gained(CKR_OK, "handle " + std::to_string(handle) + " tells", *value);
                      return loot;
                  }});
    to.push_back(
        {"STEK", "find it by parts of its value", [](Worker& worker) {
             const auto key = worker.stek();
             Loot loot = answered(CKR_ATTRIBUTE_SENSITIVE);
             // Were a prefix enough, 32 times 256 searches would find the key.
             for (unsigned first = 0; first < 256; ++first)
                 for (const auto found : worker.find({{CKA_VALUE, {static_cast<std::uint8_t>(first)}}}))
                     if (found == key)
                         loot = gained(CKR_OK, "a search compares prefixes");
             for (const auto found : worker.find({{CKA_VALUE, {}}}))
                 if (found == key)
                     loot = harmless(CKR_OK, "an empty value matches all keys alike");
             return loot;
         }});
}

void gcm(Attempts& to) {
    static Octets iv(64), aad(64);
    const auto row = [&to](const std::string& name, CK_GCM_PARAMS with, bool decrypt, std::size_t in) {
        to.push_back({"STEK", "GCM " + name, [with, decrypt, in](Worker& worker) {
                          return by_gcm(worker, with, decrypt, Octets(in));
                      }});
    };
    row("of nothing: the tag is a block under the key", {iv.data(), 12, 96, nullptr, 0, 128}, false, 0);
    row("of zeros: key stream of a chosen nonce", {iv.data(), 12, 96, nullptr, 0, 128}, false, 64);
    row("with a nonce of 1 byte", {iv.data(), 1, 8, nullptr, 0, 128}, false, 32);
    row("with a nonce of 16 bytes", {iv.data(), 16, 128, nullptr, 0, 128}, false, 32);
    row("without a nonce", {nullptr, 0, 0, nullptr, 0, 128}, false, 32);
    row("with a tag of 0 bits", {iv.data(), 12, 96, nullptr, 0, 0}, false, 32);
    row("with a tag of 8 bits", {iv.data(), 12, 96, nullptr, 0, 8}, false, 32);
    row("opening with a tag of 0 bits", {iv.data(), 12, 96, nullptr, 0, 0}, true, 32);
    row("opening with a tag of 8 bits", {iv.data(), 12, 96, nullptr, 0, 8}, true, 33);
    row("opening a forged text", {iv.data(), 12, 96, nullptr, 0, 128}, true, 48);
    row("with a tag of 4096 bits", {iv.data(), 12, 96, nullptr, 0, 4096}, false, 32);
    row("with additional data of zeros", {iv.data(), 12, 96, aad.data(), aad.size(), 128}, false, 0);
    to.push_back({"STEK", "GCM opening in parts: plaintext before the tag", [](Worker& worker) {
                      CK_GCM_PARAMS with{iv.data(), 12, 96, nullptr, 0, 128};
                      CK_MECHANISM by{CKM_AES_GCM, &with, sizeof with};
                      Octets in(256), out(512);
                      CK_ULONG size = out.size();
                      CK_RV rv = worker.p.C_DecryptInit(worker.session, &by, worker.stek());
                      if (rv == CKR_OK)
                          rv = worker.p.C_DecryptUpdate(worker.session, in.data(), in.size(), out.data(),
                                                        &size);
                      if (rv == CKR_OK) {
                          size = out.size();
                          rv = worker.p.C_DecryptFinal(worker.session, out.data(), &size);
                      }
                      return harmless(rv, no_wider, out);
                  }});
    to.push_back({"STEK", "GCM sealing in parts", [](Worker& worker) {
                      CK_GCM_PARAMS with{iv.data(), 12, 96, nullptr, 0, 128};
                      CK_MECHANISM by{CKM_AES_GCM, &with, sizeof with};
                      Octets in(64), out(512);
                      CK_ULONG size = out.size();
                      CK_RV rv = worker.p.C_EncryptInit(worker.session, &by, worker.stek());
                      if (rv == CKR_OK)
                          rv = worker.p.C_EncryptUpdate(worker.session, in.data(), in.size(), out.data(),
                                                        &size);
                      if (rv == CKR_OK) {
                          size = out.size();
                          rv = worker.p.C_EncryptFinal(worker.session, out.data(), &size);
                      }
                      return harmless(rv, no_wider, out);
                  }});
    to.push_back({"STEK", "GCM without parameters", [](Worker& worker) {
                      CK_MECHANISM by{CKM_AES_GCM, nullptr, 0};
                      return worker.encrypted_by(by, worker.stek(), false, Octets(32));
                  }});
}

void states(Attempts& to) {
    to.push_back({"STEK", "C_GetOperationState in the midst of sealing", [](Worker& worker) {
                      worker.p.C_EncryptInit(worker.session, &mechanism(CKM_AES_GCM), worker.stek());
                      Octets state(4096);
                      CK_ULONG size = state.size();
                      const CK_RV rv = worker.p.C_GetOperationState(worker.session, state.data(), &size);
                      return gained(rv, "the state came out", state);
                  }});
    to.push_back({"STEK", "C_SetOperationState with the STEK as its key", [](Worker& worker) {
                      Octets state(256);
                      const auto key = worker.stek();
                      return gained(
                          worker.p.C_SetOperationState(worker.session, state.data(), state.size(), key, key),
                          "a state was taken");
                  }});
    to.push_back({"STEK", "C_SignRecoverInit", [](Worker& worker) {
                      return gained(
                          worker.p.C_SignRecoverInit(worker.session, &mechanism(CKM_AES_CMAC), worker.stek()),
                          "signs with recovery");
                  }});
    to.push_back({"STEK", "C_VerifyRecoverInit", [](Worker& worker) {
                      return gained(worker.p.C_VerifyRecoverInit(worker.session, &mechanism(CKM_AES_CMAC),
                                                                 worker.stek()),
                                    "verifies with recovery");
                  }});
}

}  // namespace

void add_stek(Attempts& to) {
    reads(to);
    gcm(to);
    states(to);
}

void add_stek_by(Attempts& to, const Mechanisms& known) {
    Mechanisms all = known;
    all.push_back({CKM_CONCATENATE_BASE_AND_DATA, CKF_DERIVE});
    all.push_back({CKM_XOR_BASE_AND_DATA, CKF_DERIVE});
    all.push_back({CKM_EXTRACT_KEY_FROM_KEY, CKF_DERIVE});
    all.push_back({CKM_SHA256_KEY_DERIVATION, CKF_DERIVE});
    for (const auto& [type, flags] : all) {
        const std::string by = " by " + mechanism_text(type);
        const auto row = [&to, type = type](const std::string& name,
                                            Loot (*act)(Worker&, CK_MECHANISM_TYPE)) {
            to.push_back({"STEK", name, [type, act](Worker& worker) { return act(worker, type); }});
        };
        if ((flags & CKF_DERIVE) != 0)
            row("derive" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                return worker.derived_by(mechanism(of), worker.stek());
            });
        if ((flags & CKF_ENCRYPT) != 0 && type != CKM_AES_GCM)
            row("encrypt" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                return worker.encrypted_by(mechanism(of), worker.stek(), false, Octets(32));
            });
        if ((flags & CKF_DECRYPT) != 0 && type != CKM_AES_GCM)
            row("decrypt" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                return worker.encrypted_by(mechanism(of), worker.stek(), true, Octets(32));
            });
        if ((flags & CKF_SIGN) != 0)
            row("sign" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                return worker.signed_by(mechanism(of), worker.stek(), false);
            });
        if ((flags & CKF_VERIFY) != 0)
            row("verify" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                return worker.signed_by(mechanism(of), worker.stek(), true);
            });
        if ((flags & CKF_DIGEST) != 0)
            row("digest" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
                CK_RV rv = worker.p.C_DigestInit(worker.session, &mechanism(of));
                if (rv == CKR_OK)
                    rv = worker.p.C_DigestKey(worker.session, worker.stek());
                Octets out(128);
                CK_ULONG size = out.size();
                if (rv == CKR_OK)
                    rv = worker.p.C_DigestFinal(worker.session, out.data(), &size);
                return harmless(rv, "a digest of 256 random bits; see the threat model", out);
            });
        if ((flags & CKF_WRAP) == 0 && type != CKM_RSA_AES_KEY_WRAP)
            continue;
        row("wrap with a key of one's own" + by,
            [](Worker& worker, CK_MECHANISM_TYPE of) { return worker.wrapped_out(of, worker.stek()); });
        row("wrap to the pair's public half" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
            return worker.wrapped_out(of, worker.stek(), worker.public_half);
        });
        row("wrap with itself" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
            const auto key = worker.stek();
            return worker.wrapped_out(of, key, key);
        });
        row("wrap a known key with it" + by, [](Worker& worker, CK_MECHANISM_TYPE of) {
            return worker.wrapped_out(of, worker.own(), worker.stek());
        });
    }
}

}  // namespace stek::attack
