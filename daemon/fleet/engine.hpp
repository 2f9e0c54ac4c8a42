// The distribution engine: where the fleet's parties leave frames for each other.
//
// It is trusted with nothing. It may lose values, hold them back, repeat old ones and show each party
// something else; readers trust signed contents only, and never an engine's revision numbers or times. What
// it must do for the fleet to work is create(): of several that store the same key at the same instant, one
// wins.
#pragma once

#include "pkcs11/secret.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

/// The engine could not be reached, or refused. Trying again later may help; what() is fit for a log.
class EngineError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// It is not for this party to do: no try again helps.
class NotGranted : public EngineError {
  public:
    using EngineError::EngineError;
};

/// What is there is larger than any value that a party stores: noise, whoever left it.
class OversizedValue : public EngineError {
  public:
    using EngineError::EngineError;
};

/// Told that something in a bucket may have changed. Spurious wake-ups are fine, and changes may come without
/// one (each user looks every minute as well). A bucket may come, go and come back meanwhile. One thread at a
/// time.
class Watch {
  public:
    virtual ~Watch() = default;
    /// Readable when there is something to look at; owned by the watch. For sd_event_add_io, EPOLLIN.
    [[nodiscard]] virtual int fd() const noexcept = 0;
    /// Makes fd() unreadable until the next change; look after it, not before. False when there is nothing to
    /// look at: only what this user of the engine has stored itself, or has read since. Throws EngineError
    /// once the watch is broken: make another.
    virtual bool clear() = 0;
};

/// A key-value store of buckets, which come with their first value. Keys are 1 to 255 bytes of
/// [A-Za-z0-9._-], do not begin or end with a dot and have no two in a row; buckets 1 to 250 bytes of
/// [A-Za-z0-9_-] (NATS subjects, names of its streams and of files take them): others are
/// std::invalid_argument. Values: up to 2 MiB (max_value), to store a larger one is std::invalid_argument.
/// One thread at a time; calls block, but for no longer than a few seconds (the implementation's limit).
///
/// After an EngineError of create(), put() or erase() it may have been done all the same: look.
class Engine {
  public:
    static constexpr std::size_t max_value = std::size_t{2} << 20;
    virtual ~Engine() = default;

    /// Stores the value unless there is one already: false. Of several at the same instant, one gets true.
    virtual bool create(const std::string& bucket, const std::string& key, Bytes value) = 0;
    /// Stores or replaces. Readers see the old value or the new one, never a part.
    virtual void put(const std::string& bucket, const std::string& key, Bytes value) = 0;
    struct Item {
        std::string key;
        std::vector<std::uint8_t> value;
    };
    /// put() of each, for an engine that is far away in the time of a few.
    virtual void put_all(const std::string& bucket, const std::vector<Item>& items) {
        for (const auto& item : items)
            put(bucket, item.key, item.value);
    }
    /// Nothing if there is none. A value above max_value: OversizedValue.
    virtual std::optional<std::vector<std::uint8_t>> get(const std::string& bucket,
                                                         const std::string& key) = 0;
    /// The next get() of each of these will be soon. An engine that is far away may answer it with what was
    /// there when this was called, and takes the time of a few for all. Throws as get() does, or nothing.
    virtual void read_ahead(const std::string& /*bucket*/, const std::vector<std::string>& /*keys*/) {}
    /// The keys that begin with `prefix`, sorted. None if there is no such bucket.
    virtual std::vector<std::string> list(const std::string& bucket, const std::string& prefix) = 0;
    /// Nothing happens if there is none.
    virtual void erase(const std::string& bucket, const std::string& key) = 0;
    /// The bucket need not be there yet. While it is watched, an engine that is far away may answer get() and
    /// list() with what it has read before, until clear() has returned after a change, or look_afresh() is
    /// called.
    virtual std::unique_ptr<Watch> watch(const std::string& bucket) = 0;
    /// Nothing that was read before is an answer any more: for who looks whether a change was not told.
    virtual void look_afresh() {}
    /// Makes sure that these buckets are there, those of others included, as far as this party may make them:
    /// for an engine whose buckets are made by few. By default nothing.
    virtual void prepare(const std::vector<std::string>& /*buckets*/) {}
    /// For people: "directory /srv/stek" or "NATS at ...".
    [[nodiscard]] virtual std::string name() const = 0;
};

bool fit_for_bucket(std::string_view name) noexcept;
bool fit_for_key(std::string_view name) noexcept;
/// For implementations, first thing. Throw std::invalid_argument.
void check_bucket(const std::string& bucket);
void check_names(const std::string& bucket, const std::string& key);
void check_value(Bytes value);

/// The names in use, in one place.
namespace bucket {
inline constexpr char fleet[] = "stek-fleet";       ///< key "list": the fleet's list
inline constexpr char hourly[] = "stek-hourly";     ///< keys "<epoch>.<revision>": bundles
inline constexpr char pre_keys[] = "stek-prekeys";  ///< keys "<vault>.<epoch>", vaults by name
/// "stek-location-" and the location; keys "machines" (its list), "pair.<machine>.<epoch>",
/// "record.<machine>.<epoch>.<revision>"; machines by name. No two locations share one: where a location has
/// '.' or '_', its bucket has "_-" or "__". Throws std::invalid_argument for what is no location's name
/// (stekd.toml: 1 to 64 of letters, digits, '.', '_' and '-').
std::string of_location(const std::string& location);
}  // namespace bucket

}  // namespace stek::fleet
