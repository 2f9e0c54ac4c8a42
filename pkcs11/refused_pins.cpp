#include "pkcs11/refused_pins.hpp"

#include "pkcs11/error.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <pthread.h>
#include <stdexcept>
#include <thread>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/mman.h>
#include <sys/random.h>

namespace stek::pkcs11 {
namespace {

constexpr std::size_t most_marks = 64;  // the oldest goes then
constexpr std::chrono::seconds patience{1};

}  // namespace

struct RefusedPins::Table {
    pthread_mutex_t mutex;
    std::size_t next = 0;
    std::array<Mark, most_marks> marks{};  // all zero: none
};

RefusedPins& RefusedPins::shared() {
    static auto& pins = *new RefusedPins;  // never destroyed, as the libraries are
    return pins;
}

RefusedPins::RefusedPins() : key_(sizeof(Mark)) {
    // Not RAND_bytes(): libcrypto would load the configuration first, and with it the provider that is being
    // made.
    if (::getrandom(key_.data(), key_.size(), 0) != static_cast<ssize_t>(key_.size()))
        throw NoRandomBytes();
    void* memory = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        throw std::bad_alloc();
    table_ = new (memory) Table;
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);  // a worker may be killed in its C_Login
    const int error = pthread_mutex_init(&table_->mutex, &shared);
    pthread_mutexattr_destroy(&shared);
    if (error != 0)
        throw std::runtime_error("no mutex that processes share");
}

RefusedPins::Mark RefusedPins::mark(const std::string& serial, const Secret& pin) const {
    Secret text(serial.size() + 1 + pin.size());
    std::copy(serial.begin(), serial.end(), text.data());
    std::copy(pin.bytes().begin(), pin.bytes().end(), text.data() + serial.size() + 1);
    Mark mark{};
    unsigned size = mark.size();
    if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), text.data(), text.size(), mark.data(),
             &size) == nullptr)
        throw std::runtime_error("no HMAC-SHA256");
    return mark;
}

RefusedPins::Attempt::Attempt(RefusedPins& pins, const std::string& serial, const Secret& pin)
    : pins_(pins), mark_(pins.mark(serial, pin)) {
    const auto until = std::chrono::steady_clock::now() + patience;
    int error = pthread_mutex_trylock(&pins_.table_->mutex);
    // Polled: a C_Login is rare, and the ThreadSanitizer of GCC 12 does not see pthread_mutex_clocklock().
    while (error == EBUSY && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        error = pthread_mutex_trylock(&pins_.table_->mutex);
    }
    if (error == EOWNERDEAD)  // nobody knows what came of that one
        pthread_mutex_consistent(&pins_.table_->mutex);
    else if (error != 0)
        throw TokenError("another process of this server waits for the token to take its PIN");
}

RefusedPins::Attempt::~Attempt() {
    pthread_mutex_unlock(&pins_.table_->mutex);
}

void RefusedPins::Attempt::refused() noexcept {
    auto& table = *pins_.table_;
    table.marks[table.next] = mark_;
    table.next = (table.next + 1) % most_marks;
}

bool RefusedPins::Attempt::known() const noexcept {
    const auto& marks = pins_.table_->marks;
    return std::find(marks.begin(), marks.end(), mark_) != marks.end();
}

}  // namespace stek::pkcs11
