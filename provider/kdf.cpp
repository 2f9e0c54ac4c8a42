#include "provider/kdf.hpp"

#include "provider/dispatch.hpp"
#include "provider/schedule.hpp"
#include "provider/vault.hpp"

#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>

namespace stek {

class Kdf;
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_NEWCTX, OSSL_FUNC_kdf_newctx_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_FREECTX, OSSL_FUNC_kdf_freectx_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_RESET, OSSL_FUNC_kdf_reset_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_DERIVE, OSSL_FUNC_kdf_derive_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, OSSL_FUNC_kdf_settable_ctx_params_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_SET_CTX_PARAMS, OSSL_FUNC_kdf_set_ctx_params_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, OSSL_FUNC_kdf_gettable_ctx_params_fn);
STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_GET_CTX_PARAMS, OSSL_FUNC_kdf_get_ctx_params_fn);

namespace {

/// A refusal with OpenSSL's reason code beside the text.
class KdfError : public std::runtime_error {
  public:
    KdfError(int reason, const std::string& text) : std::runtime_error(text), reason_(reason) {}
    [[nodiscard]] int reason() const noexcept { return reason_; }

  private:
    int reason_;
};

constexpr std::size_t largest_spki = 2048;  // RSA-8192 takes 1062 bytes
constexpr std::size_t most_spkis = 1024;    // the vault's session is held meanwhile

class Context {
  public:
    explicit Context(void* provctx) noexcept : provctx_(provctx) {}
    void reset() noexcept;
    void set(const OSSL_PARAM params[]);
    void get(OSSL_PARAM params[]) const;
    void derive(std::uint8_t* out, std::size_t size);

  private:
    void* provctx_;
    std::optional<std::uint64_t> epoch_;
    std::uint32_t revision_ = 0;
    Secret hourly_key_;
    std::vector<std::vector<std::uint8_t>> wrap_keys_;
    std::optional<OaepHash> oaep_;
    std::unique_ptr<WrappedSteks> result_;
};

void Context::reset() noexcept {
    *this = Context(provctx_);
}

std::uint64_t number(const OSSL_PARAM& param, std::uint64_t largest) {
    std::uint64_t value = 0;
    if (OSSL_PARAM_get_uint64(&param, &value) != 1 || value > largest)
        throw KdfError(PROV_R_INVALID_DATA,
                       std::string(param.key) + ": not a whole number from 0 to " + std::to_string(largest));
    return value;
}

Bytes octets(const OSSL_PARAM& param) {
    if (param.data_type != OSSL_PARAM_OCTET_STRING || (param.data == nullptr && param.data_size != 0))
        throw KdfError(PROV_R_INVALID_DATA, std::string(param.key) + ": not an octet string");
    return {static_cast<const std::uint8_t*>(param.data), param.data_size};
}

OaepHash oaep_hash(const OSSL_PARAM& param) {
    const char* text = nullptr;
    if (OSSL_PARAM_get_utf8_string_ptr(&param, &text) == 1 && text != nullptr) {
        const std::string_view name(text, strnlen(text, param.data_size));
        if (name == "SHA1")
            return OaepHash::sha1;
        if (name == "SHA256")
            return OaepHash::sha256;
    }
    throw KdfError(PROV_R_INVALID_DIGEST, std::string(param.key) + ": not SHA1 or SHA256");
}

std::vector<std::vector<std::uint8_t>> wrap_keys(const OSSL_PARAM* params) {
    std::vector<std::vector<std::uint8_t>> keys;
    while ((params = OSSL_PARAM_locate_const(params, kdf_param::wrap_key)) != nullptr) {
        const Bytes key = octets(*params++);
        if (key.empty() || key.size() > largest_spki)
            throw KdfError(PROV_R_INVALID_KEY, "wrap-key: not a SubjectPublicKeyInfo of 1 to 2048 bytes");
        if (keys.size() == most_spkis)
            throw KdfError(PROV_R_INVALID_KEY, "wrap-key: more than " + std::to_string(most_spkis));
        keys.emplace_back(key.begin(), key.end());
    }
    return keys;
}

void Context::set(const OSSL_PARAM params[]) {
    if (params == nullptr)
        return;
    result_.reset();
    if (const OSSL_PARAM* param = OSSL_PARAM_locate_const(params, kdf_param::epoch))
        epoch_ = number(*param, std::numeric_limits<std::uint64_t>::max());
    if (const OSSL_PARAM* param = OSSL_PARAM_locate_const(params, kdf_param::revision))
        revision_ = static_cast<std::uint32_t>(number(*param, std::numeric_limits<std::uint32_t>::max()));
    if (const OSSL_PARAM* param = OSSL_PARAM_locate_const(params, kdf_param::hourly_key)) {
        const Bytes key = octets(*param);
        if (key.size() != hourly_key_size)
            throw KdfError(PROV_R_INVALID_KEY_LENGTH,
                           "hourly-key: " + std::to_string(key.size()) + " bytes, 32 are needed");
        hourly_key_ = Secret::copy_of(key);
    }
    if (auto keys = wrap_keys(params); !keys.empty())
        wrap_keys_ = std::move(keys);
    if (const OSSL_PARAM* param = OSSL_PARAM_locate_const(params, kdf_param::oaep_hash))
        oaep_ = oaep_hash(*param);
}

void give_octets(OSSL_PARAM params[], const char* name, Bytes value) {
    OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
    if (param != nullptr && OSSL_PARAM_set_octet_string(param, value.data(), value.size()) != 1)
        throw KdfError(PROV_R_OUTPUT_BUFFER_TOO_SMALL, std::string(name) + ": the caller's room is not " +
                                                           std::to_string(value.size()) +
                                                           " bytes of an octet string");
}

void Context::get(OSSL_PARAM params[]) const {
    if (params == nullptr)
        return;
    if (OSSL_PARAM* param = OSSL_PARAM_locate(params, OSSL_KDF_PARAM_SIZE))
        if (OSSL_PARAM_set_size_t(param, KeyName{}.size()) != 1)
            throw KdfError(PROV_R_OUTPUT_BUFFER_TOO_SMALL, "size: not a number");
    if (!result_) {
        for (const char* name :
             {kdf_param::key_name, kdf_param::admission_key, kdf_param::wrapped_key, kdf_param::oaep_hash})
            if (OSSL_PARAM_locate(params, name) != nullptr)
                throw KdfError(PROV_R_NOT_INSTANTIATED, std::string(name) + ": nothing was derived yet");
        return;
    }
    give_octets(params, kdf_param::key_name, result_->name);
    give_octets(params, kdf_param::admission_key, result_->admission_key.bytes());
    for (OSSL_PARAM* rest = params; const auto& wrapped : result_->wrapped_keys) {
        rest = OSSL_PARAM_locate(rest, kdf_param::wrapped_key);
        if (rest == nullptr)
            break;
        give_octets(rest++, kdf_param::wrapped_key, wrapped);
    }
    if (OSSL_PARAM* param = OSSL_PARAM_locate(params, kdf_param::oaep_hash))
        if (OSSL_PARAM_set_utf8_string(param, result_->oaep == OaepHash::sha256 ? "SHA256" : "SHA1") != 1)
            throw KdfError(PROV_R_OUTPUT_BUFFER_TOO_SMALL, "oaep-hash: no room");
}

void Context::derive(std::uint8_t* out, std::size_t size) {
    result_.reset();
    if (!epoch_)
        throw KdfError(PROV_R_MISSING_SEED, "epoch: missing");
    if (hourly_key_.empty())
        throw KdfError(PROV_R_MISSING_KEY, "hourly-key: missing");
    if (wrap_keys_.empty())
        throw KdfError(PROV_R_MISSING_KEY, "wrap-key: missing");
    if (out == nullptr || size != KeyName{}.size())
        throw KdfError(PROV_R_INVALID_OUTPUT_LENGTH, "the output is the key name, 16 bytes");
    auto result = std::make_unique<WrappedSteks>();
    std::unique_lock<std::mutex> lock;
    pkcs11::Session& session = vault_of(provctx_).session(lock);
    {
        const ChainKey chain_key = Chain(session).at_epoch(*epoch_);
        const std::vector<Bytes> keys(wrap_keys_.begin(), wrap_keys_.end());
        derive_steks(session, chain_key.get(), revision_, hourly_key_.bytes(), keys, *result, oaep_);
    }
    std::memcpy(out, result->name.data(), result->name.size());
    result_ = std::move(result);
}

/// Exceptions stop here: what one says goes to OpenSSL's error queue.
template <class Act>
int guarded(Act act) noexcept {
    try {
        act();
        return 1;
    } catch (const KdfError& error) {
        ERR_raise_data(ERR_LIB_PROV, error.reason(), "STEK-KDF: %s", error.what());
    } catch (const std::out_of_range& error) {
        ERR_raise_data(ERR_LIB_PROV, PROV_R_INVALID_DATA, "STEK-KDF: %s", error.what());
    } catch (const std::invalid_argument& error) {
        ERR_raise_data(ERR_LIB_PROV, PROV_R_INVALID_KEY, "STEK-KDF: %s", error.what());
    } catch (const std::bad_alloc&) {
        ERR_raise(ERR_LIB_PROV, ERR_R_MALLOC_FAILURE);
    } catch (const std::exception& error) {
        ERR_raise_data(ERR_LIB_PROV, PROV_R_FAILED_DURING_DERIVATION, "STEK-KDF: %s", error.what());
    }
    return 0;
}

void* newctx(void* provctx) noexcept {
    return new (std::nothrow) Context(provctx);
}

void freectx(void* context) noexcept {
    delete static_cast<Context*>(context);
}

void reset(void* context) noexcept {
    static_cast<Context*>(context)->reset();
}

int set_params(void* context, const OSSL_PARAM params[]) noexcept {
    return guarded([&] { static_cast<Context*>(context)->set(params); });
}

int get_params(void* context, OSSL_PARAM params[]) noexcept {
    return guarded([&] { static_cast<const Context*>(context)->get(params); });
}

int derive(void* context, unsigned char* key, std::size_t size, const OSSL_PARAM params[]) noexcept {
    return guarded([&] {
        auto& kdf = *static_cast<Context*>(context);
        kdf.set(params);
        kdf.derive(key, size);
    });
}

constexpr OSSL_PARAM described(const char* name, unsigned type, std::size_t size) {
    return {name, type, nullptr, size, OSSL_PARAM_UNMODIFIED};
}

const OSSL_PARAM* settable(void*, void*) noexcept {
    static constexpr OSSL_PARAM list[] = {
        described(kdf_param::epoch, OSSL_PARAM_UNSIGNED_INTEGER, sizeof(std::uint64_t)),
        described(kdf_param::revision, OSSL_PARAM_UNSIGNED_INTEGER, sizeof(std::uint32_t)),
        described(kdf_param::hourly_key, OSSL_PARAM_OCTET_STRING, 0),
        described(kdf_param::wrap_key, OSSL_PARAM_OCTET_STRING, 0),
        described(kdf_param::oaep_hash, OSSL_PARAM_UTF8_STRING, 0),
        OSSL_PARAM_END,
    };
    return list;
}

const OSSL_PARAM* gettable(void*, void*) noexcept {
    static constexpr OSSL_PARAM list[] = {
        described(OSSL_KDF_PARAM_SIZE, OSSL_PARAM_UNSIGNED_INTEGER, sizeof(std::size_t)),
        described(kdf_param::key_name, OSSL_PARAM_OCTET_STRING, 0),
        described(kdf_param::admission_key, OSSL_PARAM_OCTET_STRING, 0),
        described(kdf_param::wrapped_key, OSSL_PARAM_OCTET_STRING, 0),
        described(kdf_param::oaep_hash, OSSL_PARAM_UTF8_STRING, 0),
        OSSL_PARAM_END,
    };
    return list;
}

}  // namespace

const OSSL_DISPATCH kdf_functions[] = {
    dispatch<OSSL_FUNC_KDF_NEWCTX, Kdf, newctx>(),
    dispatch<OSSL_FUNC_KDF_FREECTX, Kdf, freectx>(),
    dispatch<OSSL_FUNC_KDF_RESET, Kdf, reset>(),
    dispatch<OSSL_FUNC_KDF_DERIVE, Kdf, derive>(),
    dispatch<OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, Kdf, settable>(),
    dispatch<OSSL_FUNC_KDF_SET_CTX_PARAMS, Kdf, set_params>(),
    dispatch<OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, Kdf, gettable>(),
    dispatch<OSSL_FUNC_KDF_GET_CTX_PARAMS, Kdf, get_params>(),
    dispatch_end,
};

}  // namespace stek
