// Mechanisms with parameters that fit, so that none is refused for being malformed.
#include "tests/attack/worker.hpp"

#include <array>
#include <map>

namespace stek::attack {

namespace {

std::array<std::uint8_t, 256> zeros;  // IVs, data to derive from: whatever the mechanism only reads

template <class Parameters>
CK_MECHANISM of(CK_MECHANISM_TYPE type, Parameters& parameters) {
    return {type, &parameters, sizeof parameters};
}

CK_MECHANISM make(CK_MECHANISM_TYPE type) {
    static CK_GCM_PARAMS gcm{zeros.data(), 12, 96, nullptr, 0, 128};
    static CK_AES_CTR_PARAMS ctr{128, {}};
    static CK_KEY_DERIVATION_STRING_DATA string_data{zeros.data(), 32};
    static CK_AES_CBC_ENCRYPT_DATA_PARAMS aes_cbc{{}, zeros.data(), 32};
    static CK_DES_CBC_ENCRYPT_DATA_PARAMS des_cbc{{}, zeros.data(), 32};
    static CK_RSA_PKCS_PSS_PARAMS pss{CKM_SHA256, CKG_MGF1_SHA256, 32};
    static CK_ECDH1_DERIVE_PARAMS ecdh{CKD_NULL, 0, nullptr, 65, zeros.data()};
    switch (type) {
        case CKM_AES_GCM:
            return of(type, gcm);
        case CKM_AES_CTR:
            return of(type, ctr);
        case CKM_AES_CBC:
        case CKM_AES_CBC_PAD:
            return {type, zeros.data(), 16};
        case CKM_DES_CBC:
        case CKM_DES_CBC_PAD:
        case CKM_DES3_CBC:
        case CKM_DES3_CBC_PAD:
            return {type, zeros.data(), 8};
        case CKM_AES_ECB_ENCRYPT_DATA:
        case CKM_DES_ECB_ENCRYPT_DATA:
        case CKM_DES3_ECB_ENCRYPT_DATA:
            return of(type, string_data);
        case CKM_AES_CBC_ENCRYPT_DATA:
            return of(type, aes_cbc);
        case CKM_DES_CBC_ENCRYPT_DATA:
        case CKM_DES3_CBC_ENCRYPT_DATA:
            return of(type, des_cbc);
        case CKM_ECDH1_DERIVE:
            return of(type, ecdh);
        case CKM_DH_PKCS_DERIVE:
            return {type, zeros.data(), zeros.size()};
        case CKM_RSA_PKCS_PSS:
        case CKM_SHA1_RSA_PKCS_PSS:
        case CKM_SHA224_RSA_PKCS_PSS:
        case CKM_SHA256_RSA_PKCS_PSS:
        case CKM_SHA384_RSA_PKCS_PSS:
        case CKM_SHA512_RSA_PKCS_PSS:
            return of(type, pss);
        case CKM_RSA_PKCS_OAEP:
            return oaep();
        default:
            return {type, nullptr, 0};
    }
}

}  // namespace

CK_MECHANISM& mechanism(CK_MECHANISM_TYPE type) {
    static std::map<CK_MECHANISM_TYPE, CK_MECHANISM> made;
    return made.insert_or_assign(type, make(type)).first->second;
}

CK_MECHANISM& oaep(OaepHash hash) {
    static CK_RSA_PKCS_OAEP_PARAMS parameters[] = {
        {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0},
        {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, nullptr, 0}};
    static CK_MECHANISM made[] = {of(CKM_RSA_PKCS_OAEP, parameters[0]), of(CKM_RSA_PKCS_OAEP, parameters[1])};
    return made[hash == OaepHash::sha1 ? 0 : 1];
}

Mechanisms list_mechanisms(const Scene& scene) {
    Mechanisms known;
    Worker worker(scene);
    CK_ULONG count = 0;
    worker.p.C_GetMechanismList(worker.slot, nullptr, &count);
    std::vector<CK_MECHANISM_TYPE> types(count);
    worker.p.C_GetMechanismList(worker.slot, types.data(), &count);
    for (const auto type : types) {
        CK_MECHANISM_INFO info{};
        if (worker.p.C_GetMechanismInfo(worker.slot, type, &info) == CKR_OK)
            known.push_back({type, info.flags});
    }
    worker.p.C_Finalize(nullptr);
    return known;
}

}  // namespace stek::attack
