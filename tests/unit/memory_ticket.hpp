// A ticket token and a ring in memory.
#pragma once

#include "daemon/fleet/machine.hpp"
#include "trap.hpp"

#include <cerrno>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace stek::test {

/// DER SubjectPublicKeyInfo of a real RSA key: all pairs have the same.
inline const std::vector<std::uint8_t>& some_public_key() {
    static const std::vector<std::uint8_t> key = [] {
        const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> made(EVP_RSA_gen(2048), EVP_PKEY_free);
        std::vector<std::uint8_t> der(static_cast<std::size_t>(i2d_PUBKEY(made.get(), nullptr)));
        auto* out = der.data();
        i2d_PUBKEY(made.get(), &out);
        return der;
    }();
    return key;
}
inline constexpr std::size_t some_wrapped_size = 256;

class MemoryTicket final : public fleet::TicketWork {
  public:
    explicit MemoryTicket(Trap& trap) : trap_(&trap) {}
    std::string boot_id() override { return boot; }
    std::string token_serial() override { return serial; }
    std::vector<PairId> pairs() override {
        trap_->step();
        return {held.begin(), held.end()};
    }
    fleet::OwnPair make_pair(std::uint64_t slot_epoch) override {
        trap_->step();
        PairId id{};
        const auto number = ++made;
        for (std::size_t i = 0; i < sizeof number; ++i)
            id[i] = static_cast<std::uint8_t>(number >> 8 * i);
        held.insert(id);
        return {id, slot_epoch, some_public_key()};
    }
    void destroy_pair(const PairId& id) override {
        trap_->step();
        if (before_destroying)
            before_destroying(id);
        held.erase(id);
    }
    OaepHash oaep() override { return OaepHash::sha1; }
    void publish(const KeyRing& next) override {
        trap_->step();
        if (fails_to_publish)
            throw std::system_error(ENOSPC, std::generic_category(), "the ring");
        const auto file = encode_ring(next);
        ring = decode_ring(file.bytes());
        ++published;
    }

    std::string boot = "boot-1", serial = "serial-1";
    std::set<PairId> held;
    std::shared_ptr<const KeyRing> ring;  ///< what servers see
    std::uint64_t made = 0;
    unsigned published = 0;
    bool fails_to_publish = false;
    std::function<void(const PairId&)> before_destroying;

  private:
    Trap* trap_;
};

}  // namespace stek::test
