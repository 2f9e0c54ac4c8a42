#include "daemon/fleet/nats_access.hpp"

#include "daemon/fleet/engine.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

/// The next token, which is taken off.
std::string_view take_token(std::string_view& subject) noexcept {
    const auto dot = subject.find('.');
    const auto token = subject.substr(0, dot);
    subject = dot == std::string_view::npos ? std::string_view{} : subject.substr(dot + 1);
    return token;
}

bool covers(std::string_view pattern, std::string_view subject) noexcept {
    while (!pattern.empty() && !subject.empty()) {
        const auto wanted = take_token(pattern);
        if (wanted == ">")
            return true;
        const auto token = take_token(subject);
        if (wanted != "*" && wanted != token)
            return false;
        if (wanted == "*" && token == ">")
            return false;
    }
    return pattern.empty() && subject.empty();
}

/// One party's, bucket by bucket.
class Grants {
  public:
    explicit Grants(NatsAccess& access) : access_(&access) {}

    void read(const std::string& bucket, std::initializer_list<std::string> keys) {
        for (const auto& key : keys) {
            access_->publish.push_back(subject::read(bucket, key));
            access_->subscribe.push_back(subject::changed(bucket, key));
        }
        list(bucket);
    }
    void write(const std::string& bucket, std::initializer_list<std::string> keys) {
        for (const auto& key : keys)
            access_->publish.push_back(subject::value(bucket, key));
    }
    /// What was erased is gone for good, not only marked so.
    void purge(const std::string& bucket) { access_->publish.push_back(subject::purge(bucket)); }
    // NATS has no wildcard for the buckets of all locations: it is for a whole token.
    void make_all() {
        access_->publish.insert(access_->publish.end(), {subject::make("*"), subject::names()});
    }
    void look_for_all() { access_->publish.emplace_back("$JS.API.STREAM.INFO.*"); }
    void read_all() {
        access_->publish.emplace_back("$JS.API.DIRECT.GET.*.>");
        look_for_all();
        access_->subscribe.emplace_back("stek.changed.>");
    }

  private:
    void list(const std::string& bucket) {
        if (!is_covered(access_->publish, subject::info(bucket)))
            access_->publish.push_back(subject::info(bucket));
    }
    NatsAccess* access_;
};

void of_root(Grants& grants) {
    grants.read(bucket::fleet, {"list", "list.*"});
    grants.write(bucket::fleet, {"list", "list.*"});
    grants.purge(bucket::fleet);
    grants.read_all();  // `stekctl fleet status`
    grants.make_all();
}

void of_origin(Grants& grants) {
    grants.read(bucket::fleet, {"list"});
    grants.write(bucket::fleet, {"list"});  // to put it back
    grants.read(bucket::hourly, {"*.*"});
    grants.write(bucket::hourly, {"*.*"});
    grants.purge(bucket::hourly);
    grants.read(bucket::pre_keys, {"*.*"});
    grants.purge(bucket::pre_keys);
    grants.make_all();
    grants.look_for_all();
}

void of_vault(Grants& grants, const NatsParty& party) {
    const auto own = bucket::of_location(party.location);
    grants.read(bucket::fleet, {"list"});
    grants.read(bucket::hourly, {"*.*"});
    grants.read(bucket::pre_keys, {party.name + ".*"});
    grants.write(bucket::pre_keys, {party.name + ".*"});
    grants.read(own, {"machines", "machines.*", "pair.*.*", "record.*.*.*"});
    grants.write(own, {"machines", "machines.*", "record.*.*.*"});
    grants.purge(own);
}

void of_machine(Grants& grants, const NatsParty& party) {
    const auto bucket = bucket::of_location(party.location);
    grants.read(bucket::fleet, {"list"});
    grants.read(bucket, {"machines", "pair." + party.name + ".*", "record." + party.name + ".*.*"});
    grants.write(bucket, {"pair." + party.name + ".*"});
}

}  // namespace

const char* name_of(NatsRole role) noexcept {
    switch (role) {
        case NatsRole::root:
            return "root";
        case NatsRole::origin:
            return "origin";
        case NatsRole::vault:
            return "vault";
        case NatsRole::machine:
            return "machine";
    }
    return "party";
}

NatsAccess access_of(const NatsParty& party) {
    const std::string role = name_of(party.role);
    const bool has_location = party.role == NatsRole::vault || party.role == NatsRole::machine;
    NatsAccess access;
    access.user =
        "CN=" + party.name + (has_location ? ",OU=" + party.location : std::string()) + ",O=" + role;
    access.inbox = "_INBOX." + role +
                   (has_location ? "." + bucket::of_location(party.location) : std::string()) + "." +
                   party.name;
    access.subscribe.push_back(access.inbox + ".>");
    Grants grants(access);
    switch (party.role) {
        case NatsRole::root:
            of_root(grants);
            break;
        case NatsRole::origin:
            of_origin(grants);
            break;
        case NatsRole::vault:
            of_vault(grants, party);
            break;
        case NatsRole::machine:
            of_machine(grants, party);
            break;
    }
    return access;
}

bool is_covered(const std::vector<std::string>& patterns, std::string_view subject) noexcept {
    return std::ranges::any_of(patterns, [&](const auto& pattern) { return covers(pattern, subject); });
}

namespace subject {
namespace {

constexpr std::string_view all_values = "$KV.", all_changes = "stek.changed.";

std::string joined(std::initializer_list<std::string_view> parts) {
    std::string text;
    for (const auto part : parts)
        text += part;
    return text;
}

}  // namespace

std::string value(std::string_view bucket, std::string_view key) {
    return joined({all_values, bucket, ".", key});
}
std::string read(std::string_view bucket, std::string_view key) {
    return joined({"$JS.API.DIRECT.GET.KV_", bucket, ".", value(bucket, key)});
}
std::string changed(std::string_view bucket, std::string_view key) {
    return joined({all_changes, bucket, ".", key});
}
std::string of_change(std::string_view changed) {
    return joined({all_values, changed.substr(std::min(changed.size(), all_changes.size()))});
}
bool is_value(std::string_view subject) noexcept {
    if (!subject.starts_with(all_values))
        return false;
    subject.remove_prefix(all_values.size());
    const auto bucket = take_token(subject);
    return fit_for_bucket(bucket) && fit_for_key(subject);
}
std::string info(std::string_view bucket) {
    return joined({"$JS.API.STREAM.INFO.KV_", bucket});
}
std::string make(std::string_view bucket) {
    return joined({"$JS.API.STREAM.CREATE.", bucket == "*" ? "" : "KV_", bucket});
}
std::string names() {
    return "$JS.API.STREAM.NAMES";
}
std::string purge(std::string_view bucket) {
    return joined({"$JS.API.STREAM.PURGE.KV_", bucket});
}
std::string stream(std::string_view bucket) {
    return joined({"KV_", bucket});
}

}  // namespace subject
}  // namespace stek::fleet
