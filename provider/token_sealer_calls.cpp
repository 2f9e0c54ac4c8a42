// Calls into the token on the ticket path, and what is made of their failures.
#include "pkcs11/session.hpp"
#include "provider/journal.hpp"
#include "provider/timing.hpp"
#include "provider/token_sealer_parts.hpp"

#include <algorithm>
#include <array>

#include <openssl/crypto.h>

namespace stek {
namespace {

constexpr std::uint64_t known_answer_every_ms = 1000;

CK_GCM_PARAMS gcm_params(Bytes iv, Bytes aad) noexcept {
    CK_GCM_PARAMS params{};
    params.pIv = const_cast<CK_BYTE_PTR>(iv.data());
    params.ulIvLen = iv.size();
    params.ulIvBits = iv.size() * 8;
    params.pAAD = const_cast<CK_BYTE_PTR>(aad.data());
    params.ulAADLen = aad.size();
    params.ulTagBits = gcm_tag_size * 8;
    return params;
}

}  // namespace

/// Inside the gate with the key, or not inside. A gate is closed for as long as a fork or a C_Initialize
/// takes: what comes meanwhile waits, and looks the key up again, for what closed it may have changed the
/// table.
SealStatus TokenSealer::enter(Local*& mine, const Key*& key, const KeyName& name) {
    std::optional<std::chrono::steady_clock::time_point> deadline;
    for (;;) {
        mine = local();
        if (mine == nullptr) {
            return SealStatus::token_down;
        }
        key = find(*mine, name);
        if (key == nullptr) {
            return SealStatus::no_key;
        }
        if (gate_->enter(*mine->slot)) {
            return SealStatus::ok;
        }
        if (!deadline) {
            deadline = std::chrono::steady_clock::now() + wait_for_calls_to_end;
        }
        if (!gate_->wait_until_open(*deadline)) {
            return SealStatus::token_down;
        }
    }
}

SealStatus TokenSealer::crypt(bool sealing, const KeyName& name, Bytes iv, Bytes aad, Bytes in,
                              std::uint8_t* out, std::size_t room, std::size_t wanted) noexcept {
    const auto begun = coarse_milliseconds();
    SealStatus status = SealStatus::token_down;
    try {
        Local* own = nullptr;
        const Key* key = nullptr;
        if (const SealStatus entered = enter(own, key, name); entered != SealStatus::ok) {
            status = entered;
        } else {
            Local& mine = *own;
            const CallGate::Leaving leaving{*mine.slot};
            if (!mine.table->link->module->usable_here()) {
                throw pkcs11::TokenError("the module was initialised anew");
            }
            pkcs11::Session& session = session_of(mine);
            CK_GCM_PARAMS params = gcm_params(iv, aad);
            CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
            CK_RV rv = CKR_OK;
            const auto written = sealing ? session.encrypt(mechanism, key->handle, in, {out, room}, rv)
                                         : session.decrypt(mechanism, key->handle, in, {out, room}, rv);
            if (rv != CKR_OK) {
                status = failed_call(mine, *key, rv, sealing, begun);
            } else if (written != wanted) {
                failed("the token's AES-GCM gave a result of the wrong length", begun);
            } else {
                status = SealStatus::ok;
                if (coarse_milliseconds() - begun > slow_call_ms) {
                    failed("the token took more than a second", begun);
                } else {
                    worked();
                }
            }
        }
    } catch (const pkcs11::Error& error) {
        if (breaks_link(error.rv())) {
            relink_.store(true);
        }
        failed(error.what(), begun);
    } catch (const std::exception& error) {
        failed(error.what(), begun);
    }
    if (status != SealStatus::ok) {
        OPENSSL_cleanse(out, room);
    }
    return status;
}

SealStatus TokenSealer::failed_call(Local& mine, const Key& key, CK_RV rv, bool sealing,
                                    std::uint64_t begun_ms) noexcept {
    mine.session.reset();  // SoftHSM answers CKR_OPERATION_ACTIVE for ever in a session that saw an error
    if (sequence_.load(std::memory_order_acquire) != mine.sequence) {
        return SealStatus::no_key;  // another thread has given the key up meanwhile: no fault of the token's
    }
    if (breaks_link(rv)) {
        relink_.store(true);
    } else if (!sealing) {
        // A bad tag is CKR_GENERAL_ERROR on SoftHSM, as is a broken token: ask the token something it must
        // know, seldom.
        const auto now = coarse_milliseconds();
        auto due = next_known_answer_ms_.load();
        if (now < due || !next_known_answer_ms_.compare_exchange_strong(due, now + known_answer_every_ms) ||
            known_answer(mine, key)) {
            return SealStatus::bad_tag;
        }
    }
    std::string reason = sealing ? "C_Encrypt" : "C_Decrypt";
    journal::tell([&] { reason += ": " + pkcs11::rv_name(rv); });
    failed(reason, begun_ms);
    return SealStatus::token_down;
}

bool TokenSealer::known_answer(Local& mine, const Key& key) noexcept {
    // Decrypts what it has just encrypted, under the very key. The IV is one that no ticket can have by the
    // odds of 2^-96; its plaintext is public, and the tag goes nowhere.
    try {
        pkcs11::Session& session = session_of(mine);
        std::array<std::uint8_t, gcm_iv_size> iv{};
        session.random(iv);
        constexpr std::array<std::uint8_t, 16> question{};
        std::array<std::uint8_t, question.size() + gcm_tag_size> sealed{}, opened{};
        CK_GCM_PARAMS params = gcm_params(iv, {});
        CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
        CK_RV rv = CKR_OK;
        if (session.encrypt(mechanism, key.handle, question, sealed, rv) != sealed.size() || rv != CKR_OK) {
            return false;
        }
        const auto size = session.decrypt(mechanism, key.handle, sealed, opened, rv);
        return rv == CKR_OK && size == question.size() &&
               std::equal(question.begin(), question.end(), opened.begin());
    } catch (const std::exception&) {
        return false;
    }
}

SealStatus TokenSealer::seal(const KeyName& key, Bytes iv, Bytes aad, Bytes plaintext,
                             std::uint8_t* out) noexcept {
    const auto size = plaintext.size() + gcm_tag_size;
    return crypt(true, key, iv, aad, plaintext, out, size, size);
}

SealStatus TokenSealer::open(const KeyName& key, Bytes iv, Bytes aad, Bytes in, std::uint8_t* out) noexcept {
    if (in.size() < gcm_tag_size) {
        return SealStatus::bad_tag;
    }
    return crypt(false, key, iv, aad, in, out, in.size(), in.size() - gcm_tag_size);
}

}  // namespace stek
