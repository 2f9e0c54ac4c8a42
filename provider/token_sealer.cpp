#include "provider/file_size_signal.hpp"
#include "provider/journal.hpp"
#include "provider/ticket_token.hpp"
#include "provider/timing.hpp"
#include "provider/token_link.hpp"
#include "provider/token_sealer_parts.hpp"

#include <algorithm>

namespace stek {

namespace {

std::atomic<std::uint64_t> next_id{1};
/// stekd destroys a pair right after the ring without its last record is there, or before. Where it was
/// killed in between, that may take longer: then with each look at the ring.
constexpr unsigned looks_in_a_row = 2, most_looks_for_a_pair = 100;

}  // namespace

TokenSealer::TokenSealer(const Settings& settings, std::shared_ptr<const pkcs11::Library> library,
                         SealerEvents events)
    : settings_(settings),
      library_(std::move(library)),
      events_(std::move(events)),
      id_(next_id.fetch_add(1)),
      gate_(std::make_shared<CallGate>()) {}

TokenSealer::Local* TokenSealer::local() {
    Local* const own = thread_own<Local>();
    if (own == nullptr) {
        return nullptr;
    }
    // One sealer a process is the rule (a fork makes a new one); a thread that meets another starts over.
    Local& mine = *own;
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
    return own;
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

void TokenSealer::failed(std::string_view reason, std::uint64_t begun_ms) noexcept {
    events_.token_error();
    if (back_off_.failed(coarse_milliseconds() - begun_ms)) {
        journal::tell([&] { events_.token_down(reason); });
    }
}

void TokenSealer::worked() noexcept {
    if (back_off_.worked()) {
        journal::tell([&] { events_.token_back(); });
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
        Local* const own = local();
        if (own == nullptr) {
            return SealStatus::token_down;
        }
        Local& mine = *own;
        if (mine.table && mine.table->compared_with(ring) && !relink_.load(std::memory_order_relaxed) &&
            find(mine, record.name) != nullptr) {
            return back_off_.resting() ? SealStatus::token_down : SealStatus::ok;
        }
        if (back_off_.resting()) {
            return SealStatus::token_down;
        }
        const FileSizeSignal held_back;
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
        keep_keys_of(ring.get(), next);
    }
    if (!same_token || relink_.load()) {
        next->keys.clear();
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
            key->pair = record.pair;
            key->handle = unwrap_stek(next->link->keys, record);
            next->keys.push_back(std::move(key));
        } catch (const std::exception&) {
            publish(std::move(next));  // what was given up above stays given up
            throw;
        }
        journal::tell([&] { events_.key_taken(record); });
    }
    publish(std::move(next));
}

void TokenSealer::keep_keys_of(const KeyRing* ring, std::shared_ptr<Table>& next) {
    std::vector<std::shared_ptr<const Key>> gone;
    for (const auto& key : table_->keys) {
        const bool kept = ring != nullptr && std::ranges::any_of(ring->records, [&](const auto& known) {
                              return known->name == key->name;
                          });
        (kept ? next->keys : gone).push_back(key);
    }
    if (gone.empty()) {
        return;
    }
    // Published first: a thread whose call fails under an old table is then told from a broken token.
    publish(std::make_shared<Table>(*next));
    destroy(next->link, gone);
    for (const auto& key : gone) {
        const bool used = ring != nullptr && std::ranges::any_of(ring->records, [&](const auto& known) {
                              return known->pair == key->pair;
                          });
        if (!used) {
            left_pairs_.push_back({key->pair, 0});
        }
    }
}

// SoftHSM, in whose memory a pair stays that another process has destroyed in the token, lets go of it when
// it next looks into the token. False if one should be looked for once more soon.
bool TokenSealer::look_for_left_pairs() noexcept {
    std::erase_if(left_pairs_, [&](LeftPair& left) {
        try {
            return !table_ || !table_->link || ++left.looks > most_looks_for_a_pair ||
                   find_ticket_pair(table_->link->keys, left.pair) == CK_INVALID_HANDLE;
        } catch (const std::exception&) {
            return true;  // the token is down: when it is back, it is read anew
        }
    });
    return std::ranges::all_of(left_pairs_, [](const auto& left) { return left.looks >= looks_in_a_row; });
}

void TokenSealer::destroy(const std::shared_ptr<TokenLink>& link,
                          const std::vector<std::shared_ptr<const Key>>& keys) {
    for (const auto& key : keys) {
        try {
            link->keys.destroy(key->handle);
        } catch (const pkcs11::Error&) {
            // The key must not stay: the whole session goes, and a new link is made at the next prepare.
            relink_.store(true);
            given_up_links_.push_back(link);
            destroy_keys_of_given_up_links();
            return;
        }
    }
}

bool TokenSealer::destroy_keys_of_given_up_links() noexcept {
    std::erase_if(given_up_links_, [](const auto& link) { return link->destroy_keys(); });
    return given_up_links_.empty();
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
    } else if (old) {
        publish(nullptr);
        given_up_links_.push_back(old);
    }
    struct Reopen {
        CallGate& gate;
        ~Reopen() { gate.open(); }
    } const reopen{*gate_};
    watch_exit_and_forks();
    destroy_keys_of_given_up_links();
    return connect_token(settings_, library_, serial);
}

bool TokenSealer::keep_only(const std::shared_ptr<const KeyRing>& ring) noexcept {
    const FileSizeSignal held_back;
    try {
        const auto lock = lock_for_a_while(mutex_);
        if (!lock) {
            return false;
        }
        if (!table_ && given_up_links_.empty()) {
            return true;
        }
        const auto slot = gate_->make_slot();
        if (!gate_->enter(*slot)) {
            return false;
        }
        const CallGate::Leaving leaving{*slot};
        if (table_) {
            auto next = std::make_shared<Table>();
            next->link = table_->link;
            next->ring = ring;
            keep_keys_of(ring.get(), next);
        }
        const bool seen_to_be_gone = look_for_left_pairs();
        return destroy_keys_of_given_up_links() && seen_to_be_gone;
    } catch (const std::exception&) {
        relink_.store(true);
        return false;
    }
}

bool TokenSealer::take_share(const KeyName& name) noexcept {
    try {
        Local* const own = local();
        const Key* key = own != nullptr ? find(*own, name) : nullptr;
        const std::uint64_t share = (std::uint64_t{1} << 32) / settings_.max_processes;
        return key != nullptr && key->sealed.fetch_add(1, std::memory_order_relaxed) < share;
    } catch (const std::exception&) {
        return false;
    }
}

}  // namespace stek
