// Typed rows for OpenSSL dispatch tables: a function of the wrong type, or one that may throw, does not
// compile.
#pragma once

#include "provider/no_cancel.hpp"

#include <type_traits>

#include <openssl/core_dispatch.h>

namespace stek {

/// The function type that OpenSSL calls for dispatch id `Id`; specialised by STEK_DISPATCH_TYPE beside each
/// table.
template <int Id, class Family>
struct DispatchType;

/// STEK_DISPATCH_TYPE(Kdf, OSSL_FUNC_KDF_DERIVE, OSSL_FUNC_kdf_derive_fn): the type as <core_dispatch.h> has
/// it. In namespace stek; `Family` is any (incomplete) class.
#define STEK_DISPATCH_TYPE(Family, Id, Type) \
    template <>                              \
    struct DispatchType<Id, Family> {        \
        using type = Type;                   \
    }

/// What OpenSSL calls: the function, of which no thread is cancelled.
template <auto Function>
struct Row;
template <class Result, class... Arguments, Result (*Function)(Arguments...) noexcept>
struct Row<Function> {
    static Result call(Arguments... arguments) noexcept {
        const NoCancel whole;
        return Function(arguments...);
    }
};

/// dispatch<OSSL_FUNC_CIPHER_UPDATE, Cipher, update>(): one row. `Family` tells cipher and kdf ids with the
/// same number apart. Not constexpr, for OSSL_DISPATCH erases the type by a
/// reinterpret_cast: a table is filled when the module is loaded, before OSSL_provider_init().
template <int Id, class Family, auto Function>
OSSL_DISPATCH dispatch() noexcept {
    using Wanted = typename DispatchType<Id, Family>::type;
    using Given = std::remove_pointer_t<decltype(Function)>;
    static_assert(std::is_function_v<Given>, "not a function");
    static_assert(std::is_convertible_v<Given*, Wanted*>, "wrong signature for this dispatch id");
    static_assert(
        requires { []<class R, class... A>(R (*)(A...) noexcept) {}(Function); },
        "a callback must be noexcept");
    return {Id, reinterpret_cast<void (*)(void)>(&Row<Function>::call)};
}

/// What ends each table.
inline constexpr OSSL_DISPATCH dispatch_end{0, nullptr};

}  // namespace stek
