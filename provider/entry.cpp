// OSSL_provider_init: the one symbol of the module (provider(7)).
#include "provider/attach.hpp"
#include "provider/cipher.hpp"
#include "provider/connection.hpp"
#include "provider/context.hpp"
#include "provider/dispatch.hpp"
#include "provider/fetched.hpp"
#include "provider/journal.hpp"
#include "provider/kdf.hpp"
#include "provider/no_cancel.hpp"
#include "provider/section.hpp"

#include <memory>
#include <string>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

namespace stek {

namespace {

const OSSL_ALGORITHM ciphers[] = {{"STEK-AES-256-GCM", "provider=stek", cipher_functions,
                                   "AES-256-GCM under a session ticket key held in a PKCS#11 token"},
                                  {nullptr, nullptr, nullptr, nullptr}};
const OSSL_ALGORITHM kdfs[] = {
    {"STEK-KDF", "provider=stek", kdf_functions, "session ticket key schedule in a PKCS#11 token"},
    {nullptr, nullptr, nullptr, nullptr}};

const OSSL_ALGORITHM* provider_query(void*, int operation, int* no_cache) noexcept {
    *no_cache = 0;
    switch (operation) {
        case OSSL_OP_CIPHER:
            return ciphers;
        case OSSL_OP_KDF:
            return kdfs;
        default:
            return nullptr;
    }
}

const OSSL_PARAM* provider_gettable(void*) noexcept {
    static constexpr OSSL_PARAM list[] = {OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, nullptr, 0),
                                          OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, nullptr, 0),
                                          OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, nullptr, 0),
                                          OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, nullptr), OSSL_PARAM_END};
    return list;
}

int provider_get_params(void* provctx, OSSL_PARAM params[]) noexcept {
    const auto put = [&](const char* name, const char* text) {
        OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
        return param == nullptr || OSSL_PARAM_set_utf8_ptr(param, text) == 1;
    };
    OSSL_PARAM* status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return put(OSSL_PROV_PARAM_NAME, "session ticket keys in a PKCS#11 token") &&
                   put(OSSL_PROV_PARAM_VERSION, STEKD_VERSION) &&
                   put(OSSL_PROV_PARAM_BUILDINFO, STEKD_VERSION) &&
                   (status == nullptr ||
                    OSSL_PARAM_set_int(status, static_cast<ProviderContext*>(provctx)->usable() ? 1 : 0) == 1)
               ? 1
               : 0;
}

void provider_teardown(void* provctx) noexcept {
    auto* context = static_cast<ProviderContext*>(provctx);
    // The TLS callbacks of a program that attached may still run while it exits: that context stays.
    if (context == attached_provider()) {
        leave_library_context();
    } else {
        delete context;
    }
}

/// The one that is loading us. Null, which is the default one, if the core does not say.
OSSL_LIB_CTX* library_context(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* in) noexcept {
    for (; in->function_id != 0; ++in) {
        if (in->function_id == OSSL_FUNC_CORE_GET_LIBCTX) {
            // The same thing to who shares the core's libcrypto (provider-base(7)).
            return reinterpret_cast<OSSL_LIB_CTX*>(OSSL_FUNC_core_get_libctx(in)(core));
        }
    }
    return nullptr;
}

}  // namespace

class Core;
STEK_DISPATCH_TYPE(Core, OSSL_FUNC_PROVIDER_QUERY_OPERATION, OSSL_FUNC_provider_query_operation_fn);
STEK_DISPATCH_TYPE(Core, OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, OSSL_FUNC_provider_gettable_params_fn);
STEK_DISPATCH_TYPE(Core, OSSL_FUNC_PROVIDER_GET_PARAMS, OSSL_FUNC_provider_get_params_fn);
STEK_DISPATCH_TYPE(Core, OSSL_FUNC_PROVIDER_TEARDOWN, OSSL_FUNC_provider_teardown_fn);

namespace {

const OSSL_DISPATCH provider_functions[] = {
    dispatch<OSSL_FUNC_PROVIDER_QUERY_OPERATION, Core, provider_query>(),
    dispatch<OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, Core, provider_gettable>(),
    dispatch<OSSL_FUNC_PROVIDER_GET_PARAMS, Core, provider_get_params>(),
    dispatch<OSSL_FUNC_PROVIDER_TEARDOWN, Core, provider_teardown>(), dispatch_end};

}  // namespace

}  // namespace stek

extern "C" __attribute__((visibility("default"))) int OSSL_provider_init(const OSSL_CORE_HANDLE* core,
                                                                         const OSSL_DISPATCH* in,
                                                                         const OSSL_DISPATCH** out,
                                                                         void** provctx) {
    const stek::NoCancel whole;
    try {
        stek::journal::open_socket();
        auto context = std::make_unique<stek::ProviderContext>(stek::read_section(core, in));
        if (context->settings().attach != stek::Attach::no && stek::attach_to_tls(*context)) {
            stek::look_in_library_context(stek::library_context(core, in));
        }
        *provctx = context.release();
        *out = stek::provider_functions;
        return 1;
    } catch (const std::exception& error) {
        stek::journal::send(stek::journal::Level::error, std::string("not loaded: ") + error.what());
        return 0;
    }
}
