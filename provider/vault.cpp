#include "provider/vault.hpp"

#include "provider/schedule.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace stek {

namespace {

using pkcs11::Attributes;
using pkcs11::ScopedObject;

constexpr std::string_view chain_label = "stekd chain aes-cbc v1";
constexpr std::size_t chain_id_size = 16;
constexpr std::size_t step_size = 32;

std::array<std::uint8_t, chain_id_size> encode_id(ChainPosition at) {
    std::array<std::uint8_t, chain_id_size> id{};
    for (std::size_t i = 0; i < 8; ++i) {
        id[i] = static_cast<std::uint8_t>(at.index >> (56 - 8 * i));
        id[8 + i] = static_cast<std::uint8_t>(at.epoch >> (56 - 8 * i));
    }
    return id;
}

ChainPosition decode_id(Bytes id) {
    ChainPosition at;
    for (std::size_t i = 0; i < 8; ++i) {
        at.index = at.index << 8 | id[i];
        at.epoch = at.epoch << 8 | id[8 + i];
    }
    return at;
}

Attributes chain_template(ChainPosition at) {
    Attributes key = deriving_key_template();
    key.bytes(CKA_ID, encode_id(at)).text(CKA_LABEL, chain_label).flag(CKA_TOKEN, false);
    return key;
}

/// What a search must match. A planted key that shows its value or has another use is none of ours.
Attributes chain_pattern() {
    Attributes pattern;
    pattern.number(CKA_CLASS, CKO_SECRET_KEY)
        .flag(CKA_TOKEN, true)
        .text(CKA_LABEL, chain_label)
        .number(CKA_KEY_TYPE, CKK_AES)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_DERIVE, true);
    return pattern;
}

/// Nothing unless the object is a chain key to its end: SoftHSM loads a file that was cut short, with the
/// attributes before the cut, and writes them in rising order; CKA_ALLOWED_MECHANISMS is the last.
std::optional<ChainPosition> whole_chain_key(pkcs11::Session& session, CK_OBJECT_HANDLE key) {
    static constexpr CK_MECHANISM_TYPE mechanism = CKM_AES_CBC_ENCRYPT_DATA;
    try {
        const auto id = session.attribute(key, CKA_ID);
        const auto allowed = session.attribute(key, CKA_ALLOWED_MECHANISMS);
        if (id && id->size() == chain_id_size && session.number_attribute(key, CKA_VALUE_LEN) == step_size &&
            allowed && allowed->size() == sizeof mechanism &&
            std::memcmp(allowed->data(), &mechanism, sizeof mechanism) == 0)
            return decode_id(*id);
    } catch (const pkcs11::Error& error) {
        // Only what speaks of this object: another error must not look like a vault without a chain.
        if (error.rv() != CKR_ATTRIBUTE_VALUE_INVALID && error.rv() != CKR_OBJECT_HANDLE_INVALID)
            throw;
    }
    return std::nullopt;
}

}  // namespace

std::span<const pkcs11::NeededMechanism> vault_mechanisms() noexcept {
    static constexpr std::array<pkcs11::NeededMechanism, 3> needed{{
        {CKM_AES_KEY_GEN, CKF_GENERATE},
        {CKM_AES_CBC_ENCRYPT_DATA, CKF_DERIVE},
        {CKM_RSA_PKCS_OAEP, CKF_WRAP},
    }};
    return needed;
}

std::vector<Chain::Found> Chain::find() {
    Attributes pattern = chain_pattern();
    std::vector<Found> found;
    for (const CK_OBJECT_HANDLE key : session_->find(pattern))
        if (const auto at = whole_chain_key(*session_, key))
            found.push_back({*at, key});
    std::ranges::sort(found, {}, &Found::at);
    return found;
}

Chain::Found Chain::newest() {
    const auto found = find();
    if (found.empty())
        throw pkcs11::TokenError("token " + session_->token().label() + " holds no chain key");
    return found.back();
}

std::optional<ChainPosition> Chain::position() {
    const auto found = find();
    if (found.empty())
        return std::nullopt;
    return found.back().at;
}

// A session object copied into the token appears there whole; one made in the token can be seen, and left by
// a kill, half-written (measured on SoftHSM).
void Chain::keep(const ScopedObject& key) {
    Attributes to_token;
    to_token.flag(CKA_TOKEN, true);
    session_->copy(key.get(), to_token);
}

void Chain::make(ChainPosition at) {
    if (const auto there = position(); there && there->index >= at.index)
        throw pkcs11::TokenError("token " + session_->token().label() + " holds a chain key already");
    Attributes key = chain_template(at);
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    keep({*session_, session_->generate_key(mechanism, key)});
}

ScopedObject Chain::make_seed() {
    Attributes key = shareable_key_template();
    key.flag(CKA_TOKEN, false);
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return {*session_, session_->generate_key(mechanism, key)};
}

ScopedObject Chain::grow(CK_OBJECT_HANDLE seed, ChainPosition at) {
    return ahead(seed, 1, at);
}

void Chain::plant(const ScopedObject& key) {
    if (position())
        throw pkcs11::TokenError("token " + session_->token().label() + " holds a chain key already");
    keep(key);
}

ScopedObject Chain::ahead(CK_OBJECT_HANDLE from, std::uint64_t steps, ChainPosition at) {
    Attributes last = chain_template(at);
    if (steps == 1)
        return derive_step_as(*session_, from, "chain", last);
    std::optional<ScopedObject> key(derive_step(*session_, from, "chain"));
    for (std::uint64_t done = 1; done + 1 < steps; ++done) {
        ScopedObject next = derive_step(*session_, key->get(), "chain");
        key.reset();
        key.emplace(std::move(next));
    }
    return derive_step_as(*session_, key->get(), "chain", last);
}

ChainKey Chain::at_epoch(std::uint64_t epoch) {
    const Found from = newest();
    if (epoch < from.at.epoch)
        throw std::out_of_range("epoch " + std::to_string(epoch) + " is before the chain's, " +
                                std::to_string(from.at.epoch) + ": its key is destroyed");
    const std::uint64_t steps = epoch - from.at.epoch;
    if (steps == 0)
        return ChainKey(from.key);
    if (steps > max_steps_ahead)
        throw std::out_of_range("epoch " + std::to_string(epoch) + " is " + std::to_string(steps) +
                                " ahead of the chain's, at most " + std::to_string(max_steps_ahead) +
                                " are derived");
    return ChainKey(ahead(from.key, steps, {from.at.index + steps, epoch}));
}

void Chain::advance(std::uint64_t steps, std::uint64_t epoch) {
    const Found from = newest();
    if (steps == 0 || steps > max_advance || steps > UINT64_MAX - from.at.index)
        throw std::out_of_range("the chain cannot advance by " + std::to_string(steps) + " steps");
    keep(ahead(from.key, steps, {from.at.index + steps, epoch}));
    destroy_older();
}

unsigned Chain::destroy_older() {
    const auto found = find();
    unsigned destroyed = 0;
    for (const Found& old : found) {
        if (old.at == found.back().at)
            break;
        session_->destroy(old.key);
        ++destroyed;
    }
    return destroyed;
}

}  // namespace stek
