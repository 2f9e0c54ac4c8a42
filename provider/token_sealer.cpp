#include "provider/token_sealer.hpp"

#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "provider/timing.hpp"
#include "provider/token_link.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <pthread.h>
#include <thread>
#include <vector>

#include <openssl/crypto.h>

namespace stek {

namespace {

constexpr std::uint64_t slow_call_ms =
    1000;  // a call this slow counts as a failing token: the next handshakes go without
constexpr std::uint64_t known_answer_every_ms = 1000;
constexpr auto wait_for_other_thread = std::chrono::milliseconds(50);
constexpr auto wait_for_calls_to_end = std::chrono::milliseconds(500);

/// Unlocked if another thread held it all that time. Polled: it is contended at changes only, and the
/// ThreadSanitizer of GCC 12 does not see the pthread_mutex_clocklock() of std::timed_mutex.
std::unique_lock<std::mutex> lock_for_a_while(std::mutex& mutex,
                                              std::chrono::milliseconds patience = wait_for_other_thread) {
    std::unique_lock lock(mutex, std::try_to_lock);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!lock && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        static_cast<void>(lock.try_lock());
    }
    return lock;
}

std::atomic<std::uint64_t> next_id{1};

/// The one whose calls must have ended before the module's own exit handlers take its insides apart.
std::atomic<TokenSealer*> serving{nullptr};

}  // namespace

struct TokenSealer::Key {
    KeyName name{};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    mutable std::atomic<std::uint64_t> sealed{0};
};

struct TokenSealer::Table {
    std::shared_ptr<TokenLink> link;
    std::shared_ptr<const KeyRing> ring;  // the one that the keys were last compared with
    std::vector<std::shared_ptr<const Key>> keys;
};

struct TokenSealer::Local {
    Local() = default;
    Local(const Local&) = delete;
    Local& operator=(const Local&) = delete;
    ~Local() { close(); }
    /// Closes the session. Through the gate, as each call: another thread may be finalising the module.
    void close() noexcept {
        if (!session) {
            return;
        }
        const auto until = std::chrono::steady_clock::now() + wait_for_calls_to_end;
        while (!gate->enter(*slot)) {
            if (std::chrono::steady_clock::now() >= until) {
                session->abandon();
                session.reset();
                return;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
        session.reset();
        CallGate::leave(*slot);
    }

    std::shared_ptr<CallGate> gate;
    std::uint64_t sealer = 0;
    std::uint64_t sequence = 0;
    std::shared_ptr<const Table> table;
    std::shared_ptr<CallGate::Slot> slot;
    std::uint64_t session_link = 0;
    std::optional<pkcs11::Session> session;
};

TokenSealer::TokenSealer(const Settings& settings, std::shared_ptr<const pkcs11::Library> library,
                         SealerEvents events)
    : settings_(settings),
      library_(std::move(library)),
      events_(std::move(events)),
      id_(next_id.fetch_add(1)),
      gate_(std::make_shared<CallGate>()) {}

TokenSealer::~TokenSealer() {
    TokenSealer* self = this;
    serving.compare_exchange_strong(self, nullptr);
}

void TokenSealer::stop_calls() noexcept {
    gate_->shut();  // before the wait: a thread that connects meanwhile must not open it again
    try {
        static_cast<void>(gate_->close(*local().slot, wait_for_calls_to_end));
    } catch (const std::exception&) {
        return;  // no memory to wait in
    }
}

TokenSealer::Local& TokenSealer::local() {
    // One sealer a process is the rule (a fork makes a new one); a thread that meets another starts over.
    thread_local Local mine;
    if (mine.sealer != id_) {
        mine.close();
        mine.table.reset();
        mine.sequence = 0;
        mine.gate = gate_;
        mine.slot = gate_->make_slot();
        mine.sealer = id_;
    }
    if (const auto now = sequence_.load(std::memory_order_acquire); mine.sequence != now) {
        const auto lock = lock_for_a_while(mutex_);
        if (lock) {
            mine.table = table_;
            mine.sequence = sequence_.load(std::memory_order_relaxed);
        }
    }
    return mine;
}

const TokenSealer::Key* TokenSealer::find(Local& mine, const KeyName& name) {
    if (!mine.table) {
        return nullptr;
    }
    for (const auto& key : mine.table->keys) {
        if (key->name == name) {
            return key.get();
        }
    }
    return nullptr;
}

pkcs11::Session& TokenSealer::session_of(Local& mine) {
    const auto& link = mine.table->link;
    if (!mine.session || mine.session->spent() || mine.session_link != link->id) {
        mine.session.reset();
        mine.session.emplace(link->token, pkcs11::Access::read_only);
        mine.session_link = link->id;
    }
    return *mine.session;
}

void TokenSealer::failed(const std::string& reason, std::uint64_t begun_ms) noexcept {
    events_.token_error();
    if (back_off_.failed(coarse_milliseconds() - begun_ms)) {
        events_.token_down(reason);
    }
}

void TokenSealer::worked() noexcept {
    if (back_off_.worked()) {
        events_.token_back();
    }
}

void TokenSealer::publish(std::shared_ptr<const Table> table) {
    table_ = std::move(table);
    sequence_.fetch_add(1, std::memory_order_release);
}

SealStatus TokenSealer::prepare(const std::shared_ptr<const KeyRing>& ring,
                                const RingRecord& record) noexcept {
    const auto begun = coarse_milliseconds();
    try {
        Local& mine = local();
        if (mine.table && mine.table->ring == ring && !relink_.load(std::memory_order_relaxed) &&
            find(mine, record.name) != nullptr) {
            return back_off_.resting() ? SealStatus::token_down : SealStatus::ok;
        }
        if (back_off_.resting()) {
            return SealStatus::token_down;
        }
        // Another thread that unwraps takes a few milliseconds; one that hangs must not hold up the rest.
        const auto lock = lock_for_a_while(mutex_);
        if (!lock) {
            return SealStatus::token_down;
        }
        take_key(mine, ring, record);
        mine.table = table_;
        mine.sequence = sequence_.load(std::memory_order_relaxed);
        if (coarse_milliseconds() - begun > slow_call_ms) {
            failed("the token took more than a second", begun);
            return SealStatus::token_down;
        }
        worked();
        return SealStatus::ok;
    } catch (const pkcs11::Error& error) {
        if (breaks_link(error.rv())) {
            relink_.store(true);
        }
        failed(error.what(), begun);
        return SealStatus::token_down;
    } catch (const pkcs11::TokenError& error) {
        // A pair that is not to be found: once may be a race with its making; twice, and the module's idea of
        // the token is out of date (SoftHSM forgets objects whose files were away). Then all is opened anew.
        if (back_off_.failing_again()) {
            relink_.store(true);
        }
        failed(error.what(), begun);
        return SealStatus::no_key;
    } catch (const std::exception& error) {
        failed(error.what(), begun);
        return SealStatus::token_down;
    }
}

void TokenSealer::take_key(Local& mine, const std::shared_ptr<const KeyRing>& ring,
                           const RingRecord& record) {
    auto next = std::make_shared<Table>();
    next->ring = ring;
    const bool same_token = table_ && table_->link && table_->link->token->serial() == ring->token_serial &&
                            table_->link->module->usable_here() && !relink_.load();
    if (same_token) {
        next->link = table_->link;
        keep_keys_of(*ring, next);
    } else {
        next->link = connect(mine, ring->token_serial);
        relink_.store(false);
    }
    const bool known =
        std::ranges::any_of(next->keys, [&](const auto& key) { return key->name == record.name; });
    if (!known) {
        if (next->link->keys.spent()) {
            // Session objects die with their session: the other keys are unwrapped again when they are asked
            // for.
            next->keys.clear();
            next->link = connect(mine, ring->token_serial);
        }
        try {
            auto key = std::make_shared<Key>();
            key->name = record.name;
            key->handle = unwrap_stek(next->link->keys, record);
            next->keys.push_back(std::move(key));
        } catch (const std::exception&) {
            publish(std::move(next));  // what was given up above stays given up
            throw;
        }
        events_.key_taken(record);
    }
    publish(std::move(next));
}

void TokenSealer::keep_keys_of(const KeyRing& ring, std::shared_ptr<Table>& next) {
    std::vector<std::shared_ptr<const Key>> gone;
    for (const auto& key : table_->keys) {
        const bool kept =
            std::ranges::any_of(ring.records, [&](const auto& known) { return known->name == key->name; });
        (kept ? next->keys : gone).push_back(key);
    }
    if (gone.empty()) {
        return;
    }
    // Published first: a thread whose call fails under an old table is then told from a broken token.
    publish(std::make_shared<Table>(*next));
    destroy(*next->link, gone);
}

void TokenSealer::destroy(TokenLink& link, const std::vector<std::shared_ptr<const Key>>& keys) {
    for (const auto& key : keys) {
        try {
            link.keys.destroy(key->handle);
        } catch (const pkcs11::Error&) {
            relink_.store(true);  // the key must not stay: a new link drops its whole session
        }
    }
}

std::shared_ptr<TokenLink> TokenSealer::connect(Local& mine, const std::string& serial) {
    const auto old = table_ ? table_->link : nullptr;
    if (old && old->module->usable_here() && old->module->initialized_by_us()) {
        // SoftHSM never sees a token that was made after its C_Initialize: initialise anew, with nobody
        // inside.
        if (!gate_->close(*mine.slot, wait_for_calls_to_end)) {
            throw pkcs11::TokenError("another thread is held up in the token");
        }
        publish(nullptr);
        mine.session.reset();
        old->module->finalize();
    }
    struct Reopen {
        CallGate& gate;
        ~Reopen() { gate.open(); }
    } const reopen{*gate_};
    auto link = connect_token(settings_, library_, serial);
    watch_exit_and_forks();
    serving.store(this);
    return link;
}

void TokenSealer::watch_exit_and_forks() {
    // Registered after the module was mapped, so it runs before the module's own: a thread of the server may
    // be sealing while another exits (HAProxy: seen to crash in SoftHSM).
    static const int at_exit = std::atexit([] {
        if (TokenSealer* sealer = serving.load()) {
            sealer->stop_calls();
        }
    });
    // A child must not inherit the module with its locks held by threads that the child does not have: it
    // would hang at its first call (seen: 5 of 80 children of a serving parent with threads).
    static thread_local TokenSealer* held = nullptr;
    static const int at_fork = pthread_atfork(
        [] {
            held = serving.load();
            if (held != nullptr && !held->hold_calls()) {
                held = nullptr;
            }
        },
        [] {
            if (held != nullptr) {
                held->release_calls();
            }
        },
        [] {
            if (held != nullptr) {
                held->release_calls();
            }
        });
    static_cast<void>(at_exit);
    static_cast<void>(at_fork);
}

bool TokenSealer::hold_calls() noexcept {
    try {
        auto lock = lock_for_a_while(mutex_, wait_for_calls_to_end);
        static const CallGate::Slot none;
        if (!lock || !gate_->close(none, wait_for_calls_to_end)) {
            return false;
        }
        lock.release();  // until release_calls()
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

void TokenSealer::release_calls() noexcept {
    gate_->open();
    mutex_.unlock();
}

void TokenSealer::forget_all() noexcept {
    try {
        Local& mine = local();
        if (!mine.table || mine.table->keys.empty()) {
            return;
        }
        const auto lock = lock_for_a_while(mutex_);
        if (!lock || !table_) {
            return;
        }
        const auto gone = table_->keys;
        auto next = std::make_shared<Table>();
        next->link = table_->link;
        publish(next);
        destroy(*next->link, gone);
    } catch (const std::exception&) {
        relink_.store(true);
    }
}

bool TokenSealer::take_share(const KeyName& name) noexcept {
    try {
        const Key* key = find(local(), name);
        const std::uint64_t share = (std::uint64_t{1} << 32) / settings_.max_processes;
        return key != nullptr && key->sealed.fetch_add(1, std::memory_order_relaxed) < share;
    } catch (const std::exception&) {
        return false;
    }
}

namespace {

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

SealStatus TokenSealer::crypt(bool sealing, const KeyName& name, Bytes iv, Bytes aad, Bytes in,
                              std::uint8_t* out, std::size_t room, std::size_t wanted) noexcept {
    const auto begun = coarse_milliseconds();
    SealStatus status = SealStatus::token_down;
    try {
        Local& mine = local();
        const Key* key = find(mine, name);
        if (key == nullptr) {
            status = SealStatus::no_key;
        } else if (gate_->enter(*mine.slot)) {
            struct Leave {
                CallGate::Slot& slot;
                ~Leave() { CallGate::leave(slot); }
            } const leave{*mine.slot};
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
    failed(std::string(sealing ? "C_Encrypt: " : "C_Decrypt: ") + pkcs11::rv_name(rv), begun_ms);
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
