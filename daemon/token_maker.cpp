#include "daemon/token_maker.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"
#include "provider/file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <unistd.h>
#include <vector>

#include <openssl/rand.h>

namespace stek::daemon {
namespace {

using pkcs11::check;
using pkcs11::unpadded;

constexpr std::size_t pin_size = 32;  // hexadecimal digits: 128 bits

Secret random_pin() {
    SecretArray<pin_size / 2> bytes;
    if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("no random bytes");
    Secret pin(pin_size);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        pin.data()[2 * i] = static_cast<std::uint8_t>("0123456789abcdef"[bytes.data()[i] >> 4]);
        pin.data()[2 * i + 1] = static_cast<std::uint8_t>("0123456789abcdef"[bytes.data()[i] & 15]);
    }
    return pin;
}

void keep_pin(const Secret& pin, const std::string& path) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file)
        throw_errno("cannot create", path);
    if (::write(file.get(), pin.data(), pin.size()) != static_cast<ssize_t>(pin.size()) ||
        ::write(file.get(), "\n", 1) != 1 || ::fsync(file.get()) != 0)
        throw_errno("cannot write", path);
}

void set_user_pin(CK_FUNCTION_LIST& functions, CK_SLOT_ID slot, Secret& so_pin, Secret& pin) {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    check("C_OpenSession",
          functions.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session));
    auto rv = functions.C_Login(session, CKU_SO, so_pin.data(), so_pin.size());
    const char* call = "C_Login";
    if (rv == CKR_OK) {
        call = "C_InitPIN";
        rv = functions.C_InitPIN(session, pin.data(), pin.size());
        functions.C_Logout(session);
    }
    functions.C_CloseSession(session);
    check(call, rv);
}

}  // namespace

std::vector<SlotToken> tokens_of(CK_FUNCTION_LIST& functions) {
    CK_ULONG count = 0;
    check("C_GetSlotList", functions.C_GetSlotList(CK_TRUE, nullptr, &count));
    std::vector<CK_SLOT_ID> slots(count);
    check("C_GetSlotList", functions.C_GetSlotList(CK_TRUE, slots.data(), &count));
    slots.resize(count);
    std::vector<SlotToken> tokens;
    for (const auto slot : slots) {
        CK_TOKEN_INFO info{};
        check("C_GetTokenInfo", functions.C_GetTokenInfo(slot, &info));
        tokens.push_back({slot, info});
    }
    return tokens;
}

TokenMaker::TokenMaker(const std::string& module, const std::string& softhsm_conf)
    : module_path_(module), softhsm_conf_(softhsm_conf) {
    open();
}

TokenMaker::~TokenMaker() {
    close();
}

void TokenMaker::open() {
    module_ = pkcs11::Module::initialize(pkcs11::Library::map(module_path_), softhsm_conf_);
}

void TokenMaker::close() noexcept {
    if (module_)
        module_->finalize();
    module_.reset();
}

std::string TokenMaker::remake(const std::string& label, const std::string& directory) {
    for (const auto& token : tokens_of(module_->functions()))
        if (unpadded(token.info.label) == label)
            throw pkcs11::TokenError("a token " + label + " is there: nothing is made anew");
    const auto so_pin = directory + "/ticket.so-pin";
    const auto pin = directory + "/ticket.pin";
    for (const auto& file : {so_pin, pin})
        if (::unlink(file.c_str()) != 0 && errno != ENOENT)
            throw_errno("cannot remove", file);
    return make(label, so_pin, pin);
}

std::string TokenMaker::make(const std::string& label, const std::string& so_pin_file,
                             const std::string& pin_file) {
    auto& functions = module_->functions();
    const auto before = tokens_of(functions);
    const auto blank =
        std::find_if(before.begin(), before.end(), [](const SlotToken& token) { return token.is_blank(); });
    if (blank == before.end())
        throw pkcs11::TokenError(module_path_ + " has no slot with a blank token");
    // An HSM's partition is not ours to take, and the PINs we gave it would go with what could not be
    // finished.
    if (const auto maker = unpadded(blank->info.manufacturerID); !maker.starts_with("SoftHSM"))
        throw pkcs11::TokenError(module_path_ + " has tokens of " + maker +
                                 ": init is for SoftHSM; others are made by their own tools, see hsm.md");
    auto so_pin = random_pin();
    auto pin = random_pin();
    keep_pin(so_pin, so_pin_file);
    keep_pin(pin, pin_file);
    std::string padded = label;
    padded.resize(sizeof blank->info.label, ' ');
    check("C_InitToken", functions.C_InitToken(blank->slot, so_pin.data(), so_pin.size(),
                                               reinterpret_cast<CK_UTF8CHAR*>(padded.data())));
    // SoftHSM gives the new token its slot, and offers the next blank one, when it is initialised anew.
    close();
    open();
    for (const auto& token : tokens_of(module_->functions())) {
        if (unpadded(token.info.label) != label || token.is_blank())
            continue;
        set_user_pin(module_->functions(), token.slot, so_pin, pin);
        return unpadded(token.info.serialNumber);
    }
    throw pkcs11::TokenError("token " + label + " is not there after C_InitToken");
}

}  // namespace stek::daemon
