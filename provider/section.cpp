#include "provider/section.hpp"

#include "provider/own_errors.hpp"
#include "provider/settings.hpp"

#include <memory>

#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

namespace stek {

namespace {

/// A value that the core has under this name; empty if none.
std::string ask(OSSL_FUNC_core_get_params_fn* get_params, const OSSL_CORE_HANDLE* core, const char* name) {
    char* value = nullptr;
    OSSL_PARAM request[] = {OSSL_PARAM_construct_utf8_ptr(name, &value, 0), OSSL_PARAM_construct_end()};
    return get_params(core, request) == 1 && value != nullptr ? value : "";
}

/// The keys in the section that the default configuration file has for the provider of this name.
void add_other_keys(const std::string& provider, std::map<std::string, std::string>& section) {
    const OwnErrors own;
    const std::unique_ptr<char, void (*)(char*)> path(CONF_get1_default_config_file(),
                                                      [](char* text) { OPENSSL_free(text); });
    const std::unique_ptr<CONF, decltype(&NCONF_free)> conf(NCONF_new(nullptr), NCONF_free);
    long line = 0;
    if (path && conf && NCONF_load(conf.get(), path.get(), &line) == 1) {
        const char* init = NCONF_get_string(conf.get(), nullptr, "openssl_conf");
        const char* providers = init != nullptr ? NCONF_get_string(conf.get(), init, "providers") : nullptr;
        const char* ours =
            providers != nullptr ? NCONF_get_string(conf.get(), providers, provider.c_str()) : nullptr;
        const STACK_OF(CONF_VALUE)* values = ours != nullptr ? NCONF_get_section(conf.get(), ours) : nullptr;
        for (int i = 0; values != nullptr && i < sk_CONF_VALUE_num(values); ++i) {
            const CONF_VALUE* value = sk_CONF_VALUE_value(values, i);
            section.emplace(value->name, value->value);
        }
    }
}

}  // namespace

std::map<std::string, std::string> read_section(const OSSL_CORE_HANDLE* core,
                                                const OSSL_DISPATCH* from_core) {
    std::map<std::string, std::string> section;
    for (; from_core->function_id != 0; ++from_core) {
        if (from_core->function_id != OSSL_FUNC_CORE_GET_PARAMS) {
            continue;
        }
        auto* get_params = OSSL_FUNC_core_get_params(from_core);
        for (const auto name : setting_names()) {
            if (auto value = ask(get_params, core, name.data()); !value.empty()) {
                section.emplace(name, std::move(value));
            }
        }
        add_other_keys(ask(get_params, core, OSSL_PROV_PARAM_CORE_PROV_NAME), section);
    }
    return section;
}

}  // namespace stek
