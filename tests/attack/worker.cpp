#include "tests/attack/worker.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"

#include <ctime>
#include <dlfcn.h>

namespace stek::attack {

namespace {

void must(const char* what, CK_RV rv) {
    if (rv != CKR_OK)
        throw CannotTry(std::string(what) + ": " + pkcs11::rv_name(rv));
}

const std::vector<std::uint8_t> f4{1, 0, 1};

}  // namespace

std::string mechanism_text(CK_MECHANISM_TYPE type) {
    return pkcs11::mechanism_name(type);
}

CK_FUNCTION_LIST& load_module(const std::string& path) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto get = library != nullptr
                         ? reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"))
                         : nullptr;
    CK_FUNCTION_LIST* functions = nullptr;
    if (get == nullptr || get(&functions) != CKR_OK)
        throw CannotTry("no module " + path);
    return *functions;
}

Worker::Worker(const Scene& scene) : p(load_module(scene.module)), loose(scene.loose) {
    must("C_Initialize", p.C_Initialize(nullptr));
    if (scene.vault_label.empty()) {
        ring = read_ring_file(scene.ring);
        record = ring ? sealing_record(*ring, std::time(nullptr), 2) : nullptr;
        if (record == nullptr)
            throw CannotTry("no key that seals now in " + scene.ring);
    }
    choose_slot(scene);
    session = fresh();
    if (!scene.pin.empty()) {
        std::string pin = scene.pin;
        must("C_Login",
             p.C_Login(session, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()));
    }
    if (!scene.vault_label.empty())
        return;
    const Attribute id{CKA_ID, {record->pair.begin(), record->pair.end()}};
    const auto halves = [&](CK_OBJECT_CLASS half) {
        const auto found = find({number(CKA_CLASS, half), id});
        return found.empty() ? CK_INVALID_HANDLE : found.front();
    };
    pair = halves(CKO_PRIVATE_KEY);
    public_half = halves(CKO_PUBLIC_KEY);
}

void Worker::choose_slot(const Scene& scene) {
    CK_SLOT_ID slots[16];
    CK_ULONG count = std::size(slots);
    must("C_GetSlotList", p.C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; ++i) {
        CK_TOKEN_INFO info{};
        if (p.C_GetTokenInfo(slots[i], &info) != CKR_OK)
            continue;
        slot = slots[i];
        if (scene.vault_label.empty() ? pkcs11::unpadded(info.serialNumber) == ring->token_serial
                                      : pkcs11::unpadded(info.label) == scene.vault_label)
            return;
    }
    throw CannotTry("no such token");
}

CK_SESSION_HANDLE Worker::fresh(CK_FLAGS flags) {
    CK_SESSION_HANDLE opened = CK_INVALID_HANDLE;
    must("C_OpenSession", p.C_OpenSession(slot, CKF_SERIAL_SESSION | flags, nullptr, nullptr, &opened));
    return opened;
}

CK_RV Worker::unwrap(CK_MECHANISM& by, Template as, CK_OBJECT_HANDLE& out, CK_OBJECT_HANDLE with,
                     std::vector<std::uint8_t> wrapped) {
    auto list = raw(as);
    if (wrapped.empty())
        wrapped = record->wrapped_key;
    return p.C_UnwrapKey(session, &by, with == 0 ? pair : with, wrapped.data(), wrapped.size(), list.data(),
                         list.size(), &out);
}

CK_OBJECT_HANDLE Worker::stek() {
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    must("unwrapping as a server does", unwrap(oaep(), loose ? greedy() : narrow(), key));
    return key;
}

std::vector<CK_OBJECT_HANDLE> Worker::find(Template pattern) {
    auto list = raw(pattern);
    std::vector<CK_OBJECT_HANDLE> found(256);
    CK_ULONG count = 0;
    const auto in = fresh();
    must("C_FindObjectsInit", p.C_FindObjectsInit(in, list.data(), list.size()));
    must("C_FindObjects", p.C_FindObjects(in, found.data(), found.size(), &count));
    p.C_FindObjectsFinal(in);
    found.resize(count);
    return found;
}

std::optional<std::vector<std::uint8_t>> Worker::read(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    std::vector<std::uint8_t> value(1024);
    CK_ATTRIBUTE one{type, value.data(), value.size()};
    if (p.C_GetAttributeValue(session, object, &one, 1) != CKR_OK || one.ulValueLen > value.size())
        return std::nullopt;
    value.resize(one.ulValueLen);
    return value;
}

CK_OBJECT_HANDLE Worker::create(Template object, CK_RV& rv) {
    auto list = raw(object);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    rv = p.C_CreateObject(session, list.data(), list.size(), &made);
    return made;
}

CK_OBJECT_HANDLE Worker::own(CK_KEY_TYPE type) {
    Template all = greedy(type);
    if (type == CKK_AES)
        all.push_back(number(CKA_VALUE_LEN, 32));
    auto list = raw(all);
    CK_MECHANISM by{type == CKK_AES ? CKM_AES_KEY_GEN : CKM_DES3_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    must("C_GenerateKey", p.C_GenerateKey(session, &by, list.data(), list.size(), &key));
    return key;
}

std::pair<CK_OBJECT_HANDLE, CK_OBJECT_HANDLE> Worker::own_pair() {
    Template open{flag(CKA_TOKEN, false),  flag(CKA_PRIVATE, false),       flag(CKA_WRAP, true),
                  flag(CKA_ENCRYPT, true), number(CKA_MODULUS_BITS, 2048), {CKA_PUBLIC_EXPONENT, f4}};
    Template secret{flag(CKA_TOKEN, false), flag(CKA_PRIVATE, false), flag(CKA_UNWRAP, true),
                    flag(CKA_DECRYPT, true)};
    auto first = raw(open), second = raw(secret);
    CK_MECHANISM by{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    std::pair<CK_OBJECT_HANDLE, CK_OBJECT_HANDLE> made;
    must("C_GenerateKeyPair", p.C_GenerateKeyPair(session, &by, first.data(), first.size(), second.data(),
                                                  second.size(), &made.first, &made.second));
    return made;
}

}  // namespace stek::attack
