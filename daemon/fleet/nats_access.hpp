// What of NATS a party may touch. The servers are told so (nats_files.hpp), and each party goes by it, so
// that it does not wait for answers that a server would not let through.
//
// No party may make a consumer: who may have the server deliver a stream's messages may have them delivered
// to any subject, into others' buckets too. Values are read by DIRECT.GET, whose subject names the key; that
// something has changed is told by the bucket's stream, which republishes the subject of what it has stored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

/// Who a certificate is of. `root`: who has the root key, for stekctl.
enum class NatsRole : unsigned char { root, origin, vault, machine };

struct NatsParty {
    NatsRole role = NatsRole::root;
    std::string name;      ///< as enrolled; of root: "root"
    std::string location;  ///< of vaults and machines
};

/// "origin": the name of its files too, origin.crt and origin.key.
const char* name_of(NatsRole role) noexcept;

struct NatsAccess {
    std::string user;   ///< the certificate's subject as a server writes it, RFC 2253: "CN=a,OU=fra1,O=vault"
    std::string inbox;  ///< where answers come, with nobody else listening
    std::vector<std::string> publish, subscribe;  ///< subjects, with NATS's wildcards
};

NatsAccess access_of(const NatsParty& party);

/// Whether one of the patterns covers the subject. A wildcard in the subject counts as a token like others,
/// and no pattern's plain token covers it.
bool is_covered(const std::vector<std::string>& patterns, std::string_view subject) noexcept;

/// Subjects. `key` may be a pattern.
namespace subject {
std::string value(std::string_view bucket, std::string_view key);    ///< of JetStream's key-value buckets
std::string read(std::string_view bucket, std::string_view key);     ///< $JS.API.DIRECT.GET, the last value
std::string changed(std::string_view bucket, std::string_view key);  ///< where the stream tells of it
/// The value's that a stream tells of.
std::string of_change(std::string_view changed);
/// Whether it is that of a key and a bucket which engine.hpp allows.
bool is_value(std::string_view subject) noexcept;
std::string info(std::string_view bucket);    ///< $JS.API.STREAM.INFO: keys' names
std::string names();                          ///< $JS.API.STREAM.NAMES: all buckets
std::string make(std::string_view bucket);    ///< $JS.API.STREAM.CREATE
std::string purge(std::string_view bucket);   ///< $JS.API.STREAM.PURGE
std::string stream(std::string_view bucket);  ///< "KV_<bucket>", a stream's name
}  // namespace subject

}  // namespace stek::fleet
