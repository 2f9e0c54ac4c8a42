#include "pkcs11/secret.hpp"

#include <algorithm>
#include <new>
#include <unistd.h>
#include <utility>

#include <sys/mman.h>

namespace stek {

Secret::Secret(std::size_t size) {
    if (size == 0) {
        return;
    }
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    if (size > SIZE_MAX - page) {
        throw std::bad_alloc();
    }
    const std::size_t mapped = (size + page - 1) / page * page;
    void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    if (madvise(memory, mapped, MADV_DONTDUMP) != 0) {
        munmap(memory, mapped);
        throw std::bad_alloc();
    }
    // RLIMIT_MEMLOCK may be used up in a server we do not control: better an unlocked secret than no tickets.
    (void)mlock(memory, mapped);
    data_ = static_cast<std::uint8_t*>(memory);
    size_ = size;
    mapped_ = mapped;
}

Secret Secret::copy_of(Bytes bytes) {
    Secret copy(bytes.size());
    std::ranges::copy(bytes, copy.data_);
    return copy;
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    Secret old(std::move(other));
    return *this;
}

Secret::~Secret() {
    if (data_ != nullptr) {
        OPENSSL_cleanse(data_, mapped_);
        munmap(data_, mapped_);
    }
}

void Secret::truncate(std::size_t size) noexcept {
    if (size < size_) {
        OPENSSL_cleanse(data_ + size, size_ - size);
        size_ = size;
    }
}

}  // namespace stek
