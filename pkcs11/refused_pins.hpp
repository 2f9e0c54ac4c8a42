// The PINs that tokens have refused, known to a process and to all that it forks.
#pragma once

#include "pkcs11/secret.hpp"

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace stek::pkcs11 {

/// libcrypto's generator gives nothing. Where its one-time set-up had no memory, that is so for good in this
/// process: it must be started anew.
class NoRandomBytes : public std::runtime_error {
  public:
    NoRandomBytes() : std::runtime_error("no random bytes; this process must be started anew") {}
};

/// A server's workers read the same wrong PIN; a token that locks after three must see it once, not once a
/// worker. So the marks, keyed hashes of serial and PIN, lie in memory that forks share. Threads and
/// processes may use it together. It ends with the last of these processes: a program that is started anew
/// tries anew.
class RefusedPins {
    using Mark = std::array<std::uint8_t, 32>;

  public:
    /// To be called before the forks: a child that makes its own shares it with its own children only. Throws
    /// std::bad_alloc, std::runtime_error.
    static RefusedPins& shared();

    /// One process at a time has this, for the length of its C_Login: others wait for what comes of it.
    class Attempt {
      public:
        /// Waits at most a second: a token may hang in another's C_Login. Throws TokenError after that, and
        /// what libcrypto or memory lacks: before the C_Login, so that what comes of it is not lost.
        Attempt(RefusedPins& pins, const std::string& serial, const Secret& pin);
        Attempt(const Attempt&) = delete;
        Attempt& operator=(const Attempt&) = delete;
        ~Attempt();
        void refused() noexcept;
        [[nodiscard]] bool known() const noexcept;

      private:
        RefusedPins& pins_;
        const Mark mark_;
    };

    RefusedPins(const RefusedPins&) = delete;
    RefusedPins& operator=(const RefusedPins&) = delete;

  private:
    struct Table;
    RefusedPins();
    [[nodiscard]] Mark mark(const std::string& serial, const Secret& pin) const;
    Secret key_;
    Table* table_;  // shared, never unmapped: exit handlers may still log in
};

}  // namespace stek::pkcs11
