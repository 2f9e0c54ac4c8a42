// The C edge of the cipher: thin shells in which exceptions stop.
#include "provider/cipher.hpp"

#include "provider/cipher_context.hpp"
#include "provider/dispatch.hpp"

#include <memory>
#include <new>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

namespace stek {

namespace {

template <class Body>
int guarded(Body&& body) noexcept {
    try {
        return body() ? 1 : 0;
    } catch (const std::bad_alloc&) {
        ERR_raise(ERR_LIB_PROV, ERR_R_MALLOC_FAILURE);
    } catch (const std::exception& error) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_INTERNAL_ERROR, "%s", error.what());
    }
    return 0;
}

Cipher& self(void* context) noexcept {
    return *static_cast<Cipher*>(context);
}

void* cipher_new(void* provctx) noexcept {
    auto* cipher = new (std::nothrow) Cipher;
    if (cipher != nullptr) {
        cipher->provider = static_cast<ProviderContext*>(provctx);
    }
    return cipher;
}

void cipher_free(void* context) noexcept {
    std::unique_ptr<Cipher> cipher(static_cast<Cipher*>(context));
    // libssl checks the HMAC between init and update: a ticket that never came to the update was forged, or
    // another audience's.
    if (cipher && cipher->exchange != nullptr && !cipher->sealing && cipher->phase == Phase::ready) {
        if (Process* process = cipher->provider->process()) {
            process->counters.declined(Decline::foreign);
        }
    }
}

int cipher_encrypt_init(void* context, const unsigned char* key, std::size_t, const unsigned char* iv,
                        std::size_t iv_size, const OSSL_PARAM params[]) noexcept {
    return guarded([&] { return init_cipher(self(context), true, key, iv, iv_size, params); });
}

int cipher_decrypt_init(void* context, const unsigned char* key, std::size_t, const unsigned char* iv,
                        std::size_t iv_size, const OSSL_PARAM params[]) noexcept {
    return guarded([&] { return init_cipher(self(context), false, key, iv, iv_size, params); });
}

int cipher_update(void* context, unsigned char* out, std::size_t* written, std::size_t room,
                  const unsigned char* in, std::size_t size) noexcept {
    return guarded([&] { return update_cipher(self(context), out, *written, room, {in, size}); });
}

int cipher_final(void* context, unsigned char* out, std::size_t* written, std::size_t room) noexcept {
    return guarded([&] { return finish_cipher(self(context), out, *written, room); });
}

/// One pass over what is asked: EVP asks for the IV's length in each init, and looking for each thing that
/// we could tell costs more than the answer.
bool get_params(const Cipher* cipher, OSSL_PARAM params[]) noexcept {
    for (OSSL_PARAM* param = params; param != nullptr && param->key != nullptr; ++param) {
        const std::string_view name(param->key);
        bool told = true;
        if (name == OSSL_CIPHER_PARAM_IVLEN) {
            told = OSSL_PARAM_set_size_t(param, gcm_iv_size) == 1;
        } else if (name == OSSL_CIPHER_PARAM_KEYLEN) {
            told = OSSL_PARAM_set_size_t(param, key_size) == 1;
        } else if (name == OSSL_CIPHER_PARAM_BLOCK_SIZE) {
            told = OSSL_PARAM_set_size_t(param, block_size) == 1;
        } else if (name == OSSL_CIPHER_PARAM_MODE) {
            // Not EVP_CIPH_GCM_MODE: programs that see it expect the tag through a parameter.
            told = OSSL_PARAM_set_uint(param, 0) == 1;
        } else if (cipher != nullptr && name == key_name_param) {
            told = cipher->have_name &&
                   OSSL_PARAM_set_octet_string(param, cipher->name.data(), cipher->name.size()) == 1;
        }
        if (!told) {
            return false;
        }
    }
    return true;
}

int cipher_get_params(OSSL_PARAM params[]) noexcept {
    return get_params(nullptr, params) ? 1 : 0;
}

int cipher_get_ctx_params(void* context, OSSL_PARAM params[]) noexcept {
    return get_params(&self(context), params) ? 1 : 0;
}

int cipher_set_ctx_params(void* context, const OSSL_PARAM params[]) noexcept {
    return guarded([&] { return set_cipher_params(self(context), params); });
}

const OSSL_PARAM* cipher_gettable_params(void*) noexcept {
    static constexpr OSSL_PARAM list[] = {OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, nullptr),
                                          OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
                                          OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                          OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, nullptr),
                                          OSSL_PARAM_END};
    return list;
}

const OSSL_PARAM* cipher_gettable_ctx_params(void*, void*) noexcept {
    static constexpr OSSL_PARAM list[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
                                          OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                          OSSL_PARAM_octet_string(key_name_param, nullptr, 0),
                                          OSSL_PARAM_END};
    return list;
}

const OSSL_PARAM* cipher_settable_ctx_params(void*, void*) noexcept {
    static constexpr OSSL_PARAM list[] = {OSSL_PARAM_octet_string(key_name_param, nullptr, 0),
                                          OSSL_PARAM_END};
    return list;
}

}  // namespace

class CipherFamily;
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_NEWCTX, OSSL_FUNC_cipher_newctx_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_FREECTX, OSSL_FUNC_cipher_freectx_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_ENCRYPT_INIT, OSSL_FUNC_cipher_encrypt_init_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_DECRYPT_INIT, OSSL_FUNC_cipher_decrypt_init_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_UPDATE, OSSL_FUNC_cipher_update_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_FINAL, OSSL_FUNC_cipher_final_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_GET_PARAMS, OSSL_FUNC_cipher_get_params_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_GET_CTX_PARAMS, OSSL_FUNC_cipher_get_ctx_params_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_SET_CTX_PARAMS, OSSL_FUNC_cipher_set_ctx_params_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_GETTABLE_PARAMS, OSSL_FUNC_cipher_gettable_params_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,
                   OSSL_FUNC_cipher_gettable_ctx_params_fn);
STEK_DISPATCH_TYPE(CipherFamily, OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,
                   OSSL_FUNC_cipher_settable_ctx_params_fn);

const OSSL_DISPATCH cipher_functions[] = {
    dispatch<OSSL_FUNC_CIPHER_NEWCTX, CipherFamily, cipher_new>(),
    dispatch<OSSL_FUNC_CIPHER_FREECTX, CipherFamily, cipher_free>(),
    dispatch<OSSL_FUNC_CIPHER_ENCRYPT_INIT, CipherFamily, cipher_encrypt_init>(),
    dispatch<OSSL_FUNC_CIPHER_DECRYPT_INIT, CipherFamily, cipher_decrypt_init>(),
    dispatch<OSSL_FUNC_CIPHER_UPDATE, CipherFamily, cipher_update>(),
    dispatch<OSSL_FUNC_CIPHER_FINAL, CipherFamily, cipher_final>(),
    dispatch<OSSL_FUNC_CIPHER_GET_PARAMS, CipherFamily, cipher_get_params>(),
    dispatch<OSSL_FUNC_CIPHER_GET_CTX_PARAMS, CipherFamily, cipher_get_ctx_params>(),
    dispatch<OSSL_FUNC_CIPHER_SET_CTX_PARAMS, CipherFamily, cipher_set_ctx_params>(),
    dispatch<OSSL_FUNC_CIPHER_GETTABLE_PARAMS, CipherFamily, cipher_gettable_params>(),
    dispatch<OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, CipherFamily, cipher_gettable_ctx_params>(),
    dispatch<OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, CipherFamily, cipher_settable_ctx_params>(),
    dispatch_end};

}  // namespace stek
