#include "daemon/deriver.hpp"

#include "provider/kdf.hpp"

#include <algorithm>
#include <dlfcn.h>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

namespace stek::daemon {
namespace {

constexpr std::size_t largest_wrapped_key = 1024;  // RSA-8192

// OpenSSL 3.0 keeps the loader's reason to itself.
std::string why_not_loaded(const std::string& path) {
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* reason = ::dlerror();
        return reason != nullptr ? reason : "unknown reason";
    }
    const bool provider = ::dlsym(handle, "OSSL_provider_init") != nullptr;
    ::dlclose(handle);
    return provider ? "" : "it is no OpenSSL provider: it has no OSSL_provider_init";
}

std::string queued_errors() {
    std::string text;
    const char* data = nullptr;
    int flags = 0;
    while (const auto code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
        const char* reason = ERR_reason_error_string(code);
        text += (text.empty() ? "" : "; ");
        text += (flags & ERR_TXT_STRING) != 0 && *data != '\0' ? data
                : reason != nullptr                            ? reason
                                                               : "unknown error";
    }
    return text.empty() ? "no reason given" : text;
}

// config(5): within double quotes only these are special.
std::string quoted(const std::string& value) {
    std::string text = "\"";
    for (const char c : value) {
        if (std::string_view("\\\"$").find(c) != std::string_view::npos)
            text += '\\';
        text += c;
    }
    return text + '"';
}

std::string provider_section(const Config& config) {
    std::string text =
        "openssl_conf = init\n[init]\nproviders = providers\n[providers]\nstek = stek\n[stek]\n";
    text += "activate = 1\nattach = no\nmodule = " + quoted(config.provider) + "\n";
    text += "token = " + quoted(config.vault.text()) + "\n";
    if (!config.module_config.empty())
        text += "module-config = " + quoted(config.module_config) + "\n";
    return text;
}

[[noreturn]] void cannot_load(const std::string& provider) {
    const auto queued = queued_errors();
    const auto reason = why_not_loaded(provider);
    throw DeriverError("the provider " + provider +
                       " cannot be loaded: " + (reason.empty() ? queued : reason));
}

struct FreeConf {
    void operator()(CONF* conf) const noexcept { NCONF_free(conf); }
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
    void operator()(EVP_KDF_CTX* context) const noexcept { EVP_KDF_CTX_free(context); }
};

}  // namespace

void Deriver::Free::operator()(OSSL_LIB_CTX* context) const noexcept {
    OSSL_LIB_CTX_free(context);
}

void Deriver::Free::operator()(EVP_KDF* kdf) const noexcept {
    EVP_KDF_free(kdf);
}

Deriver::Deriver(const Config& config) : context_(OSSL_LIB_CTX_new()) {
    ERR_clear_error();
    OPENSSL_load_builtin_modules();
    const auto text = provider_section(config);
    const std::unique_ptr<CONF, FreeConf> conf(NCONF_new_ex(context_.get(), nullptr));
    const std::unique_ptr<BIO, FreeConf> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    if (!context_ || !conf || !bio || NCONF_load_bio(conf.get(), bio.get(), nullptr) != 1 ||
        CONF_modules_load(conf.get(), nullptr, 0) != 1)
        cannot_load(config.provider);
    kdf_.reset(EVP_KDF_fetch(context_.get(), "STEK-KDF", nullptr));
    if (!kdf_)
        cannot_load(config.provider);
}

Deriver::~Deriver() = default;

void Deriver::derive(std::uint64_t chain_epoch, std::uint32_t revision, Bytes hourly_key, Bytes spki,
                     OaepHash oaep, WrappedStek& out) const {
    WrappedSteks made;
    derive(chain_epoch, revision, hourly_key, std::span(&spki, 1), oaep, made);
    out.name = made.name;
    std::ranges::copy(made.admission_key.bytes(), out.admission_key.data());
    out.wrapped_key = std::move(made.wrapped_keys.front());
    out.oaep = oaep;
}

void Deriver::derive(std::uint64_t chain_epoch, std::uint32_t revision, Bytes hourly_key,
                     std::span<const Bytes> spkis, OaepHash oaep, WrappedSteks& out) const {
    ERR_clear_error();
    const std::unique_ptr<EVP_KDF_CTX, FreeConf> context(EVP_KDF_CTX_new(kdf_.get()));
    const auto octets = [](const char* name, Bytes value) {
        return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(value.data()), value.size());
    };
    std::string hash = oaep == OaepHash::sha256 ? "SHA256" : "SHA1";
    std::vector<OSSL_PARAM> inputs{
        OSSL_PARAM_construct_uint64(kdf_param::epoch, &chain_epoch),
        OSSL_PARAM_construct_uint32(kdf_param::revision, &revision),
        octets(kdf_param::hourly_key, hourly_key),
        OSSL_PARAM_construct_utf8_string(kdf_param::oaep_hash, hash.data(), 0),
    };
    for (const Bytes spki : spkis)
        inputs.push_back(octets(kdf_param::wrap_key, spki));
    inputs.push_back(OSSL_PARAM_construct_end());
    if (!context || EVP_KDF_derive(context.get(), out.name.data(), out.name.size(), inputs.data()) != 1)
        throw DeriverError(queued_errors());

    out.wrapped_keys.assign(spkis.size(), std::vector<std::uint8_t>(largest_wrapped_key));
    std::vector<OSSL_PARAM> outputs;
    for (auto& wrapped : out.wrapped_keys)
        outputs.push_back(
            OSSL_PARAM_construct_octet_string(kdf_param::wrapped_key, wrapped.data(), wrapped.size()));
    outputs.push_back(OSSL_PARAM_construct_octet_string(kdf_param::admission_key, out.admission_key.data(),
                                                        out.admission_key.size()));
    outputs.push_back(OSSL_PARAM_construct_end());
    if (EVP_KDF_CTX_get_params(context.get(), outputs.data()) != 1)
        throw DeriverError(queued_errors());
    for (std::size_t i = 0; i < spkis.size(); ++i)
        out.wrapped_keys[i].resize(outputs[i].return_size);
    out.oaep = oaep;
}

}  // namespace stek::daemon
