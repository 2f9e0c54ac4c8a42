// Bytes that must not outlive their use: wiped when they go, never printed, never swapped or dumped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>

#include <openssl/crypto.h>

namespace stek {

using Bytes = std::span<const std::uint8_t>;

/// Secret bytes of any length in pages of their own: mlock()ed where RLIMIT_MEMLOCK allows it, kept out of
/// core dumps (MADV_DONTDUMP), wiped before they are unmapped. Move-only. Costs a few system calls: for what
/// outlives a call or is rare; SecretArray is for the ticket path. Throws std::bad_alloc.
class Secret {
  public:
    Secret() noexcept = default;
    explicit Secret(std::size_t size);  ///< `size` zero bytes
    static Secret copy_of(Bytes bytes);
    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&& other) noexcept;
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret();

    [[nodiscard]] std::uint8_t* data() noexcept { return data_; }
    [[nodiscard]] const std::uint8_t* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::span<std::uint8_t> span() noexcept { return {data_, size_}; }
    [[nodiscard]] Bytes bytes() const noexcept { return {data_, size_}; }
    /// Shortens to `size` bytes (no more than now); what is cut off is wiped.
    void truncate(std::size_t size) noexcept;

  private:
    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t mapped_ = 0;
};

std::ostream& operator<<(std::ostream&, const Secret&) = delete;

/// N secret bytes on the stack or inside another object; wiped on destruction. Not copyable.
template <std::size_t N>
class SecretArray {
  public:
    SecretArray() noexcept = default;
    SecretArray(const SecretArray&) = delete;
    SecretArray& operator=(const SecretArray&) = delete;
    ~SecretArray() { OPENSSL_cleanse(bytes_.data(), N); }

    [[nodiscard]] std::uint8_t* data() noexcept { return bytes_.data(); }
    [[nodiscard]] const std::uint8_t* data() const noexcept { return bytes_.data(); }
    [[nodiscard]] static constexpr std::size_t size() noexcept { return N; }
    [[nodiscard]] std::span<std::uint8_t, N> span() noexcept { return bytes_; }
    [[nodiscard]] std::span<const std::uint8_t, N> bytes() const noexcept { return bytes_; }

  private:
    std::array<std::uint8_t, N> bytes_{};
};

template <std::size_t N>
std::ostream& operator<<(std::ostream&, const SecretArray<N>&) = delete;

}  // namespace stek
