#include "provider/cipher_context.hpp"

#include "provider/timing.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/rand.h>

namespace stek {

namespace {

/// A message on its way: on the stack as a rule.
class Buffer {
  public:
    explicit Buffer(std::size_t size) : size_(size) {
        if (size_ > sizeof small_) {
            large_.reset(new std::uint8_t[size_]);
        }
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() = default;
    [[nodiscard]] std::uint8_t* data() noexcept { return large_ ? large_.get() : small_; }
    [[nodiscard]] Bytes bytes() noexcept { return {data(), size_}; }

  private:
    std::size_t size_;
    std::unique_ptr<std::uint8_t[]> large_;
    std::uint8_t small_[3072];
};

/// Wiped always.
class Plaintext : public Buffer {
  public:
    using Buffer::Buffer;
    Plaintext(const Plaintext&) = delete;
    Plaintext& operator=(const Plaintext&) = delete;
    ~Plaintext() { OPENSSL_cleanse(data(), bytes().size()); }
};

bool fail(int reason, const char* text) noexcept {
    ERR_raise_data(ERR_LIB_PROV, reason, "STEK-AES-256-GCM: %s", text);
    return false;
}

/// Outside a ticket callback, which has done all this: finds the key in the ring and makes it usable.
bool choose_key(Cipher& cipher) {
    ProviderContext& provider = *cipher.provider;
    Process* process = provider.process();
    if (process == nullptr) {
        return fail(PROV_R_NOT_INSTANTIATED,
                    provider.usable() ? "no key ring is configured" : provider.problem().c_str());
    }
    const auto ring = provider.ring(*process);
    if (!ring) {
        return fail(PROV_R_NO_KEY_SET, "no key ring");
    }
    const std::int64_t now = std::time(nullptr);
    const RingRecord* record = nullptr;
    if (!cipher.have_name && cipher.sealing) {
        record = sealing_record(*ring, now, provider.settings().stale_epochs);
    } else if (cipher.have_name) {
        record = opening_record(*ring, cipher.name, now);
        if (record != nullptr && cipher.sealing && (now < record->not_before || now >= record->seal_until)) {
            return fail(PROV_R_NO_KEY_SET, "outside that key's seal window");
        }
    }
    if (record == nullptr) {
        return fail(PROV_R_NO_KEY_SET, "no such key in the ring now");
    }
    if (process->sealer->prepare(ring, *record) != SealStatus::ok) {
        return fail(PROV_R_NO_KEY_SET, "the ticket token is not usable now");
    }
    if (cipher.sealing && !process->sealer->take_share(record->name)) {
        return fail(PROV_R_NO_KEY_SET, "this process has sealed its share under that key");
    }
    cipher.name = record->name;
    cipher.have_name = true;
    return true;
}

void put_time(std::uint8_t* out, std::int64_t time) noexcept {
    for (std::size_t i = 0; i < lineage_size; ++i) {
        out[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(time) >> (8 * (lineage_size - 1 - i)));
    }
}

std::int64_t get_time(const std::uint8_t* in) noexcept {
    std::uint64_t time = 0;
    for (std::size_t i = 0; i < lineage_size; ++i) {
        time = time << 8 | in[i];
    }
    return static_cast<std::int64_t>(time);
}

Bytes aad_of(const Cipher& cipher) noexcept {
    return cipher.exchange != nullptr ? Bytes(cipher.ticket_aad) : Bytes(cipher.aad);
}

/// One ticket in eight: two precise clock reads for each would be a hundredth of its time. IVs are random.
class SampledWatch {
  public:
    explicit SampledWatch(const Cipher& cipher) noexcept {
        if (cipher.iv.back() % 8 == 0) {
            watch_.emplace();
        }
    }
    void tell(Counters& counters) const noexcept {
        if (watch_) {
            counters.latency(watch_->nanoseconds());
        }
    }

  private:
    std::optional<Stopwatch> watch_;
};

bool seal(Cipher& cipher, Process& process, Bytes in, unsigned char* out, std::size_t room,
          std::size_t& written) {
    const std::size_t front = cipher.exchange != nullptr ? lineage_size : 0;
    const std::size_t size = front + in.size();
    if (room < size) {
        return fail(PROV_R_OUTPUT_BUFFER_TOO_SMALL, "sealing");
    }
    // Without a time in front the message goes to the token as it is; an empty one has no address to give.
    const bool as_it_is = front == 0 && !in.empty();
    Plaintext plain(as_it_is ? 0 : size);
    if (cipher.exchange != nullptr) {
        put_time(plain.data(), cipher.exchange->lineage);
    }
    if (!as_it_is && !in.empty()) {
        std::memcpy(plain.data() + front, in.data(), in.size());
    }
    Buffer sealed(size + gcm_tag_size);
    const SampledWatch watch(cipher);
    const auto status = process.sealer->seal(cipher.name, cipher.iv, aad_of(cipher),
                                             as_it_is ? in : plain.bytes(), sealed.data());
    if (status == SealStatus::ok) {
        watch.tell(process.counters);
        process.counters.sealed();
    } else {
        process.counters.declined(Decline::token_down);
        // An error here would be a fatal alert. Random bytes make a ticket that opens nowhere: a full
        // handshake next time.
        if (cipher.exchange == nullptr ||
            RAND_bytes(sealed.data(), static_cast<int>(size + gcm_tag_size)) != 1) {
            return fail(PROV_R_CIPHER_OPERATION_FAILED, "the token did not seal");
        }
    }
    if (size > 0) {
        std::memcpy(out, sealed.data(), size);
    }
    std::memcpy(cipher.tag.data(), sealed.data() + size, gcm_tag_size);
    written = size;
    return true;
}

/// True if the plaintext may be let out: in ticket mode, if the ticket is young enough.
bool open(Cipher& cipher, Process& process, Bytes in, unsigned char* out, std::size_t room,
          std::size_t& written) {
    const std::size_t front = cipher.exchange != nullptr ? lineage_size : 0;
    if (in.size() < front + gcm_tag_size || room < in.size() - front - gcm_tag_size) {
        process.counters.declined(Decline::malformed);
        return false;
    }
    Plaintext plain(in.size());
    const SampledWatch watch(cipher);
    const auto status = process.sealer->open(cipher.name, cipher.iv, aad_of(cipher), in, plain.data());
    if (status != SealStatus::ok) {
        process.counters.declined(status == SealStatus::bad_tag  ? Decline::bad_tag
                                  : status == SealStatus::no_key ? Decline::unknown_key
                                                                 : Decline::token_down);
        return false;
    }
    watch.tell(process.counters);
    if (TicketExchange* exchange = cipher.exchange) {
        const auto lineage = std::min(get_time(plain.data()), exchange->lineage_cap);
        if (lineage < exchange->lineage_limit) {
            process.counters.declined(Decline::too_old);
            return false;
        }
        exchange->lineage = lineage;
        exchange->opened = true;
    }
    process.counters.opened();
    written = in.size() - front - gcm_tag_size;
    if (written > 0) {
        std::memcpy(out, plain.data() + front, written);
    }
    return true;
}

}  // namespace

bool set_cipher_params(Cipher& cipher, const OSSL_PARAM params[]) {
    for (const OSSL_PARAM* param = params; param != nullptr && param->key != nullptr; ++param) {
        const std::string_view key(param->key);
        const void* data = nullptr;
        std::size_t size = 0;
        if (key == ticket_param) {
            if (OSSL_PARAM_get_octet_ptr(param, &data, &size) != 1 || size != sizeof(TicketExchange)) {
                return fail(PROV_R_FAILED_TO_GET_PARAMETER, "ticket exchange");
            }
            cipher.exchange = static_cast<TicketExchange*>(const_cast<void*>(data));
        } else if (key == key_name_param) {
            if (OSSL_PARAM_get_octet_string_ptr(param, &data, &size) != 1 || size != cipher.name.size()) {
                return fail(PROV_R_FAILED_TO_GET_PARAMETER, "key-name takes 16 octets");
            }
            std::memcpy(cipher.name.data(), data, size);
            cipher.have_name = true;
        } else if (key == OSSL_CIPHER_PARAM_KEYLEN) {
            if (OSSL_PARAM_get_size_t(param, &size) != 1 || size != key_size) {
                return fail(PROV_R_INVALID_KEY_LENGTH, "the key is 32 octets, in the token");
            }
        } else if (key == OSSL_CIPHER_PARAM_IVLEN) {
            if (OSSL_PARAM_get_size_t(param, &size) != 1 || size != gcm_iv_size) {
                return fail(PROV_R_INVALID_IV_LENGTH, "the IV is 12 octets");
            }
        }
    }
    return true;
}

bool init_cipher(Cipher& cipher, bool sealing, const unsigned char* key, const unsigned char* iv,
                 std::size_t iv_size, const OSSL_PARAM params[]) {
    if (key != nullptr) {
        return fail(PROV_R_INVALID_KEY, "keys are named (key-name), never given");
    }
    cipher.sealing = sealing;
    cipher.phase = Phase::fresh;
    cipher.aad.clear();
    if (!set_cipher_params(cipher, params)) {
        return false;
    }
    if (iv == nullptr) {
        return true;  // EVP may initialise in steps: cipher first, IV and name later
    }
    if (iv_size != gcm_iv_size) {
        return fail(PROV_R_INVALID_IV_LENGTH, "the IV is 12 octets");
    }
    std::memcpy(cipher.iv.data(), iv, iv_size);
    if (cipher.exchange != nullptr) {
        cipher.ticket_aad = ticket_aad(cipher.name, cipher.exchange->audience);
    } else if (!choose_key(cipher)) {
        return false;
    }
    cipher.phase = Phase::ready;
    return true;
}

bool update_cipher(Cipher& cipher, unsigned char* out, std::size_t& written, std::size_t room, Bytes in) {
    written = 0;
    if (cipher.phase != Phase::ready) {
        return fail(cipher.phase == Phase::fresh ? PROV_R_NO_KEY_SET : PROV_R_NOT_SUPPORTED,
                    "one message per IV");
    }
    if (out == nullptr) {
        if (cipher.exchange != nullptr) {
            return fail(PROV_R_NOT_SUPPORTED, "a ticket brings its own additional data");
        }
        cipher.aad.insert(cipher.aad.end(), in.begin(), in.end());
        written = in.size();
        return true;
    }
    Process* process = cipher.provider->process();
    if (process == nullptr) {
        cipher.phase = Phase::declined;
        return !cipher.sealing;
    }
    if (cipher.sealing) {
        const bool sealed = seal(cipher, *process, in, out, room, written);
        cipher.phase = sealed ? Phase::updated : Phase::declined;
        return sealed;
    }
    cipher.phase = open(cipher, *process, in, out, room, written) ? Phase::updated : Phase::declined;
    return true;  // a failing update would be a fatal alert in libssl; a failing final is "no ticket"
}

bool finish_cipher(Cipher& cipher, unsigned char* out, std::size_t& written, std::size_t room) {
    written = 0;
    if (cipher.phase == Phase::ready && cipher.sealing) {  // an empty message: no update came
        std::uint8_t nothing = 0;
        std::size_t none = 0;
        if (!update_cipher(cipher, &nothing, none, 0, {})) {
            return false;
        }
    }
    if (cipher.phase != Phase::updated) {
        cipher.phase = Phase::finished;
        // libssl goes on with a full handshake and leaves the error queue as it is: a server that then looks
        // at it takes "wants to read" for a failure (nginx: tried).
        return cipher.exchange != nullptr ? false : fail(PROV_R_CIPHER_OPERATION_FAILED, "not opened");
    }
    if (cipher.sealing) {
        if (out == nullptr || room < gcm_tag_size) {
            return fail(PROV_R_OUTPUT_BUFFER_TOO_SMALL, "final gives the 16 octets of the tag");
        }
        std::memcpy(out, cipher.tag.data(), gcm_tag_size);
        written = gcm_tag_size;
    }
    cipher.phase = Phase::finished;
    return true;
}

}  // namespace stek
