// Using a key in ways that it should not allow, and looking over one that was got.
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

/// A secret key is as it should be if all of these hold.
struct Claim {
    CK_ATTRIBUTE_TYPE type;
    bool narrow;
    const char* wider;
};
constexpr Claim claims[] = {
    {CKA_EXTRACTABLE, false, "EXTRACTABLE"},
    {CKA_SENSITIVE, true, "not SENSITIVE"},
    {CKA_TOKEN, false, "TOKEN"},
    {CKA_DERIVE, false, "DERIVE"},
    {CKA_WRAP, false, "WRAP"},
    {CKA_UNWRAP, false, "UNWRAP"},
    {CKA_SIGN, false, "SIGN"},
    {CKA_VERIFY, false, "VERIFY"},
    {CKA_COPYABLE, false, "COPYABLE"},
    {CKA_MODIFIABLE, false, "MODIFIABLE"},
};

CK_OBJECT_HANDLE wrapping_key(Worker& worker, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE& unwrapping) {
    switch (type) {
        case CKM_RSA_PKCS:
        case CKM_RSA_X_509:
        case CKM_RSA_PKCS_OAEP:
        case CKM_RSA_AES_KEY_WRAP: {
            const auto [open, secret] = worker.own_pair();
            unwrapping = secret;
            return open;
        }
        case CKM_DES3_ECB:
        case CKM_DES3_CBC:
        case CKM_DES3_CBC_PAD:
            return unwrapping = worker.own(CKK_DES3);
        default:
            return unwrapping = worker.own();
    }
}

void note(std::string& use, const std::string& more) {
    use += (use.empty() ? "" : ", ") + more;
}

}  // namespace

Loot Worker::wrapped_out(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE with) {
    CK_OBJECT_HANDLE unwrapping = with;
    const auto wrapping = with != 0 ? with : wrapping_key(*this, type, unwrapping);
    auto& by = mechanism(type);
    std::vector<std::uint8_t> out(8192);
    CK_ULONG size = out.size();
    const CK_RV rv = p.C_WrapKey(session, &by, wrapping, key, out.data(), &size);
    out.resize(rv == CKR_OK ? size : 0);
    Loot loot = gained(rv, "wrapped out by " + mechanism_text(type), out);
    CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
    if (rv == CKR_OK && unwrap(by, greedy(CKK_GENERIC_SECRET), back, unwrapping, out) == CKR_OK)
        if (const auto value = read(back, CKA_VALUE))
            loot.bytes = *value;
    return loot;
}

Loot Worker::encrypted_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, bool decrypt,
                          std::vector<std::uint8_t> in) {
    const auto with = fresh();
    CK_RV rv = decrypt ? p.C_DecryptInit(with, &by, key) : p.C_EncryptInit(with, &by, key);
    if (rv != CKR_OK)
        return answered(rv);
    std::vector<std::uint8_t> out(1024);
    CK_ULONG size = out.size();
    rv = decrypt ? p.C_Decrypt(with, in.data(), in.size(), out.data(), &size)
                 : p.C_Encrypt(with, in.data(), in.size(), out.data(), &size);
    out.resize(rv == CKR_OK ? size : 0);
    // Begun is enough: what the operation then says of the padding is an oracle.
    Loot loot =
        gained(CKR_OK, (decrypt ? "decrypts by " : "encrypts by ") + mechanism_text(by.mechanism), out);
    loot.rv = rv;
    return loot;
}

Loot Worker::signed_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, bool verify) {
    const auto with = fresh();
    CK_RV rv = verify ? p.C_VerifyInit(with, &by, key) : p.C_SignInit(with, &by, key);
    if (rv != CKR_OK)
        return answered(rv);
    Loot loot = gained(rv, (verify ? "verifies by " : "signs by ") + mechanism_text(by.mechanism));
    std::vector<std::uint8_t> data(32, 0x55), out(1024);
    CK_ULONG size = out.size();
    if (!verify && p.C_Sign(with, data.data(), data.size(), out.data(), &size) == CKR_OK)
        loot.bytes.assign(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
    return loot;
}

Loot Worker::derived_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, Template child) {
    if (std::ranges::find(child, CKA_VALUE_LEN, &Attribute::type) == child.end())
        child.push_back(number(CKA_VALUE_LEN, 32));
    auto list = raw(child);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    const CK_RV rv = p.C_DeriveKey(session, &by, key, list.data(), list.size(), &made);
    Loot loot = gained(rv, "derives by " + mechanism_text(by.mechanism));
    if (rv == CKR_OK)
        loot.bytes = read(made, CKA_VALUE).value_or(std::vector<std::uint8_t>{});
    return loot;
}

Loot Worker::look_over(CK_RV rv, CK_OBJECT_HANDLE key, const std::string& why) {
    Loot loot = harmless(rv, why);
    if (rv != CKR_OK)
        return loot;
    for (const auto& [type, as_it_should, wider] : claims)
        if (const auto value = read(key, type);
            value && value->size() == 1 && (value->front() != 0) != as_it_should)
            note(loot.use, wider);
    const CK_MECHANISM_TYPE only = CKM_AES_GCM;
    const auto allowed = read(key, CKA_ALLOWED_MECHANISMS);
    if (!allowed || allowed->size() != sizeof only || std::memcmp(allowed->data(), &only, sizeof only) != 0)
        note(loot.use, "ALLOWED_MECHANISMS not just AES-GCM");
    if (const auto type = read(key, CKA_KEY_TYPE); type != number(0, CKK_AES).value)
        note(loot.use, "no AES key");
    // Attributes may lie; deeds do not.
    for (const auto& [act, text] :
         {std::pair{encrypted_by(mechanism(CKM_AES_ECB), key, false, std::vector<std::uint8_t>(32)), "ECB"},
          {signed_by(mechanism(CKM_SHA256_HMAC), key, false), "HMAC"},
          {derived_by(mechanism(CKM_AES_ECB_ENCRYPT_DATA), key), "derivation"},
          {wrapped_out(CKM_AES_KEY_WRAP, key), "wrapping"}})
        if (!act.use.empty()) {
            note(loot.use, std::string("does ") + text);
            loot.bytes.insert(loot.bytes.end(), act.bytes.begin(), act.bytes.end());
        }
    if (const auto value = read(key, CKA_VALUE)) {
        note(loot.use, "shows CKA_VALUE");
        loot.bytes.insert(loot.bytes.end(), value->begin(), value->end());
    }
    return loot;
}

}  // namespace stek::attack
