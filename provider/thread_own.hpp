// What a thread keeps for itself, and the end of that.
#pragma once

#include <type_traits>

namespace stek {

/// The calling thread's own T, made at its first call and destroyed when the thread ends; null from then on.
/// A process's exit handlers run after that of the thread that exits, and a server may still seal a ticket in
/// one: a plain thread_local would be a dangling one there. One T a type. Throws what T() throws.
template <class T>
T* thread_own() noexcept(std::is_nothrow_default_constructible_v<T>) {
    static thread_local bool over = false;  // without a destructor: can be looked at at any time
    struct Own {
        T value{};
        ~Own() { over = true; }
    };
    if (over) {
        return nullptr;
    }
    static thread_local Own own;
    return &own.value;
}

}  // namespace stek
