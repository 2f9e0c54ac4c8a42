// An engine that is NATS JetStream: buckets in the servers' memory, three copies of each.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/nats_access.hpp"
#include "daemon/fleet/nats_connection.hpp"

#include <memory>
#include <string>
#include <vector>

namespace stek::fleet {

/// A party with its own certificate; a stekd of several roles has several.
struct NatsMember {
    NatsAccess access;
    NatsTls tls;
};

struct NatsSettings {
    std::vector<std::string> servers;  ///< "HOST:PORT"
    std::vector<NatsMember> members;   ///< each call goes by the first that is granted what it takes
    unsigned replicas = 3;             ///< of a bucket that is made
    /// Values go after that time, in seconds; 0: never. Never in bucket::fleet, where nobody stores them
    /// anew.
    std::int64_t keep_s = 0;
};

/// JetStream's key-value buckets (ADR-8), of which it writes and reads no more than NatsAccess has. Buckets
/// are made by who may make them, with the first value: in memory, so that nothing of a value is on a
/// server's disk. Values may be read at any copy: a party sees what it has stored itself, and what another
/// was first with when it wanted to create() it; all else it may see a moment late. Of a bucket that is
/// watched it sees what the watch has told, and anything else after look_afresh() only. list() names, for a
/// moment, also what was erased. The servers must let through messages of max_value bytes and some hundred
/// more (max_payload).
///
/// A call waits for NatsConnection::answer_limit_ms, and some that take two steps twice. What stores a value
/// waits for a bucket's leader, which the servers may have to elect, for 10 s and an answer; once that was in
/// vain, no call does for 30 s. Without a connection none waits. Watches end with the connection that they
/// are of when a renewed certificate replaces it.
std::unique_ptr<Engine> make_nats_engine(NatsSettings settings);

}  // namespace stek::fleet
