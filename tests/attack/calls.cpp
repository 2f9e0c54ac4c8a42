// The rest of Cryptoki's functions: tokens and PINs, keys of one's own, calls that only tell.
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

using Octets = std::vector<std::uint8_t>;
constexpr char open_to_all[] = "tells what is no secret";

void row(Attempts& to, const std::string& name, std::function<Loot(Worker&)> act) {
    to.push_back({"call", name, std::move(act)});
}
CK_RV log_in(Worker& worker, CK_USER_TYPE as, std::string pin) {
    return worker.p.C_Login(worker.session, as, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
}

void pins(Attempts& to) {
    for (const std::string guess : {"1234", "0000", "user-pin", "stekd", "12345678", ""})
        for (const auto& [who, as] : {std::pair{"user", CKU_USER}, {"security officer", CKU_SO}})
            row(to, std::string("C_Login as ") + who + " with \"" + guess + "\"",
                [as = as, guess](Worker& worker) { return gained(log_in(worker, as, guess), "logged in"); });
    row(to, "C_Login for the context",
        [](Worker& worker) { return gained(log_in(worker, CKU_CONTEXT_SPECIFIC, "1234"), "logged in"); });
    row(to, "C_Login as user without a PIN", [](Worker& worker) {
        return gained(worker.p.C_Login(worker.session, CKU_USER, nullptr, 0), "logged in");
    });
    row(to, "C_Logout", [](Worker& worker) {
        return harmless(worker.p.C_Logout(worker.session), "there was no login to end");
    });
    row(to, "C_InitToken of the ticket token", [](Worker& worker) {
        worker.p.C_CloseAllSessions(worker.slot);
        std::string pin = "1234", label(32, ' ');
        return gained(worker.p.C_InitToken(worker.slot, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()),
                                           pin.size(), reinterpret_cast<CK_UTF8CHAR_PTR>(label.data())),
                      "the token was made anew");
    });
    row(to, "C_InitToken of a new token beside it", [](Worker& worker) {
        CK_SLOT_ID slots[16];
        CK_ULONG count = std::size(slots);
        worker.p.C_GetSlotList(CK_FALSE, slots, &count);
        std::string pin = "1234", label(32, ' ');
        return gained(worker.p.C_InitToken(slots[count - 1], reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()),
                                           pin.size(), reinterpret_cast<CK_UTF8CHAR_PTR>(label.data())),
                      "a token was planted");
    });
    row(to, "C_InitPIN", [](Worker& worker) {
        std::string pin = "1234";
        return gained(
            worker.p.C_InitPIN(worker.session, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()),
            "a PIN was set");
    });
    row(to, "C_SetPIN", [](Worker& worker) {
        std::string old = "1234", pin = "5678";
        return gained(
            worker.p.C_SetPIN(worker.session, reinterpret_cast<CK_UTF8CHAR_PTR>(old.data()), old.size(),
                              reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()),
            "a PIN was set");
    });
}

void both_at_once(Attempts& to) {
    // Digest and decryption in one call, to have a digest of what must not be seen, and its like.
    const auto dual = [&to](const std::string& name, CK_RV (*act)(Worker&, Octets&, CK_ULONG&)) {
        row(to, name, [act](Worker& worker) {
            worker.p.C_DigestInit(worker.session, &mechanism(CKM_SHA256));
            worker.p.C_EncryptInit(worker.session, &mechanism(CKM_AES_GCM), worker.stek());
            Octets out(512);
            CK_ULONG size = out.size();
            const CK_RV rv = act(worker, out, size);
            return gained(rv, "two operations at once", out);
        });
    };
    static Octets in(64);
    dual("C_DigestEncryptUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_DigestEncryptUpdate(w.session, in.data(), in.size(), out.data(), &size);
    });
    dual("C_DecryptDigestUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_DecryptDigestUpdate(w.session, in.data(), in.size(), out.data(), &size);
    });
    dual("C_SignEncryptUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_SignEncryptUpdate(w.session, in.data(), in.size(), out.data(), &size);
    });
    dual("C_DecryptVerifyUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_DecryptVerifyUpdate(w.session, in.data(), in.size(), out.data(), &size);
    });
    // Going on with an operation that was refused at its start.
    const auto go_on = [&to](const std::string& name, CK_RV (*act)(Worker&, Octets&, CK_ULONG&)) {
        row(to, name + " after a refused start", [act](Worker& worker) {
            const auto key = worker.stek();
            worker.p.C_SignInit(worker.session, &mechanism(CKM_AES_CMAC), key);
            worker.p.C_VerifyInit(worker.session, &mechanism(CKM_AES_CMAC), key);
            worker.p.C_DecryptInit(worker.session, &mechanism(CKM_RSA_PKCS), worker.pair);
            worker.p.C_EncryptInit(worker.session, &mechanism(CKM_AES_ECB), key);
            Octets out(1024);
            CK_ULONG size = out.size();
            const CK_RV rv = act(worker, out, size);
            return gained(rv, "it went on", out);
        });
    };
    go_on("C_Sign", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_Sign(w.session, in.data(), in.size(), out.data(), &size);
    });
    go_on("C_SignUpdate",
          [](Worker& w, Octets&, CK_ULONG&) { return w.p.C_SignUpdate(w.session, in.data(), in.size()); });
    go_on("C_SignFinal", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_SignFinal(w.session, out.data(), &size);
    });
    go_on("C_Verify", [](Worker& w, Octets&, CK_ULONG&) {
        return w.p.C_Verify(w.session, in.data(), in.size(), in.data(), 16);
    });
    go_on("C_VerifyUpdate",
          [](Worker& w, Octets&, CK_ULONG&) { return w.p.C_VerifyUpdate(w.session, in.data(), in.size()); });
    go_on("C_VerifyFinal",
          [](Worker& w, Octets&, CK_ULONG&) { return w.p.C_VerifyFinal(w.session, in.data(), 16); });
    go_on("C_VerifyRecover", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_VerifyRecover(w.session, in.data(), in.size(), out.data(), &size);
    });
    go_on("C_Encrypt", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_Encrypt(w.session, in.data(), 32, out.data(), &size);
    });
    go_on("C_EncryptUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_EncryptUpdate(w.session, in.data(), 32, out.data(), &size);
    });
    go_on("C_EncryptFinal", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_EncryptFinal(w.session, out.data(), &size);
    });
    go_on("C_Decrypt", [](Worker& w, Octets& out, CK_ULONG& size) {
        Octets sealed = w.record->wrapped_key;
        return w.p.C_Decrypt(w.session, sealed.data(), sealed.size(), out.data(), &size);
    });
    go_on("C_DecryptUpdate", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_DecryptUpdate(w.session, in.data(), in.size(), out.data(), &size);
    });
    go_on("C_DecryptFinal", [](Worker& w, Octets& out, CK_ULONG& size) {
        return w.p.C_DecryptFinal(w.session, out.data(), &size);
    });
}

void only_tell(Attempts& to) {
    row(to, "C_GetInfo", [](Worker& w) {
        CK_INFO info;
        return harmless(w.p.C_GetInfo(&info), open_to_all);
    });
    row(to, "C_GetFunctionList", [](Worker& w) {
        CK_FUNCTION_LIST_PTR list;
        return harmless(w.p.C_GetFunctionList(&list), open_to_all);
    });
    row(to, "C_GetSlotInfo", [](Worker& w) {
        CK_SLOT_INFO info;
        return harmless(w.p.C_GetSlotInfo(w.slot, &info), open_to_all);
    });
    row(to, "C_GetTokenInfo", [](Worker& w) {
        CK_TOKEN_INFO info;
        return harmless(w.p.C_GetTokenInfo(w.slot, &info), open_to_all);
    });
    row(to, "C_GetMechanismInfo", [](Worker& w) {
        CK_MECHANISM_INFO info;
        return harmless(w.p.C_GetMechanismInfo(w.slot, CKM_AES_GCM, &info), open_to_all);
    });
    row(to, "C_GetSessionInfo", [](Worker& w) {
        CK_SESSION_INFO info;
        return harmless(w.p.C_GetSessionInfo(w.session, &info), open_to_all);
    });
    row(to, "C_GetObjectSize of the STEK", [](Worker& w) {
        CK_ULONG size;
        return harmless(w.p.C_GetObjectSize(w.session, w.stek(), &size), open_to_all);
    });
    row(to, "C_FindObjects, all there are", [](Worker& w) {
        Loot loot = harmless(CKR_OK, "the pairs' halves, nothing readable beyond the modulus");
        for (const auto object : w.find({}))
            for (const CK_ATTRIBUTE_TYPE type : {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1})
                if (w.read(object, type))
                    loot.use = "a secret is readable";
        return loot;
    });
    row(to, "C_OpenSession, read-write", [](Worker& w) {
        CK_SESSION_HANDLE opened = 0;
        return harmless(
            w.p.C_OpenSession(w.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &opened),
            "the token's files cannot be written, whatever the session is called");
    });
    row(to, "C_CloseSession",
        [](Worker& w) { return harmless(w.p.C_CloseSession(w.session), "one's own session"); });
    row(to, "C_CloseAllSessions", [](Worker& w) {
        return harmless(w.p.C_CloseAllSessions(w.slot), "one's own sessions: other processes have theirs");
    });
    row(to, "C_Finalize",
        [](Worker& w) { return harmless(w.p.C_Finalize(nullptr), "in one's own process"); });
    row(to, "C_Initialize once more",
        [](Worker& w) { return gained(w.p.C_Initialize(nullptr), "initialised twice"); });
    row(to, "C_WaitForSlotEvent", [](Worker& w) {
        CK_SLOT_ID slot;
        return harmless(w.p.C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, nullptr), open_to_all);
    });
    row(to, "C_GetFunctionStatus",
        [](Worker& w) { return harmless(w.p.C_GetFunctionStatus(w.session), open_to_all); });
    row(to, "C_CancelFunction",
        [](Worker& w) { return harmless(w.p.C_CancelFunction(w.session), open_to_all); });
    row(to, "C_GenerateRandom", [](Worker& w) {
        Octets out(64);
        const CK_RV rv = w.p.C_GenerateRandom(w.session, out.data(), out.size());
        return harmless(rv, "fresh bytes", out);
    });
    row(to, "C_SeedRandom, twice the same", [](Worker& w) {
        Octets seed(32), first(32), second(32);
        const CK_RV rv = w.p.C_SeedRandom(w.session, seed.data(), seed.size());
        w.p.C_GenerateRandom(w.session, first.data(), first.size());
        w.p.C_SeedRandom(w.session, seed.data(), seed.size());
        w.p.C_GenerateRandom(w.session, second.data(), second.size());
        Loot loot = harmless(rv, "a seed is mixed in, and keys are made in stekd's process");
        if (first == second)
            loot.use = "the generator does what it is told";
        return loot;
    });
    row(to, "C_Digest of data", [](Worker& w) {
        Octets data(32), out(64);
        CK_ULONG size = out.size();
        CK_RV rv = w.p.C_DigestInit(w.session, &mechanism(CKM_SHA256));
        if (rv == CKR_OK)
            rv = w.p.C_Digest(w.session, data.data(), data.size(), out.data(), &size);
        return harmless(rv, "of one's own data", out);
    });
    row(to, "C_DigestUpdate over handles and pointers", [](Worker& w) {
        CK_OBJECT_HANDLE key = w.stek();
        Octets out(64);
        CK_ULONG size = out.size();
        CK_RV rv = w.p.C_DigestInit(w.session, &mechanism(CKM_SHA256));
        if (rv == CKR_OK)
            rv = w.p.C_DigestUpdate(w.session, reinterpret_cast<CK_BYTE_PTR>(&key), sizeof key);
        if (rv == CKR_OK)
            rv = w.p.C_DigestFinal(w.session, out.data(), &size);
        return harmless(rv, "of the handle's bytes, not the key's", out);
    });
    row(to, "C_GenerateKey of one's own", [](Worker& w) {
        w.own();
        return harmless(CKR_OK, "a key of one's own in one's own session");
    });
    row(to, "C_GenerateKeyPair of one's own", [](Worker& w) {
        w.own_pair();
        return harmless(CKR_OK, "a pair of one's own in one's own session");
    });
}

}  // namespace

void add_calls(Attempts& to) {
    pins(to);
    both_at_once(to);
    only_tell(to);
}

}  // namespace stek::attack
