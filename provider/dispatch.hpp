// Typed rows for OpenSSL dispatch tables: a function of the wrong type, or one that may throw, does not
// compile.
#pragma once

#include <type_traits>

#include <openssl/core_dispatch.h>

namespace stek {

/// The function type that OpenSSL calls for dispatch id `Id`; specialised by STEK_DISPATCH_TYPE beside each
/// table.
template <int Id, class Family>
struct DispatchType;

/// dispatch<OSSL_FUNC_CIPHER_UPDATE, Cipher, update>(): one row. `Family` tells cipher and kdf ids with the
/// same number apart.
template <int Id, class Family, auto Function>
constexpr OSSL_DISPATCH dispatch() noexcept {
    using Wanted = typename DispatchType<Id, Family>::type;
    using Given = std::remove_pointer_t<decltype(Function)>;
    static_assert(std::is_nothrow_convertible_v<Given*, Wanted*>, "wrong signature for this dispatch id");
    static_assert([]<class R, class... A>(R (*)(A...) noexcept) { return true; }(Function),
                  "a callback must be noexcept");
    return {Id, reinterpret_cast<void (*)(void)>(Function)};
}

}  // namespace stek
