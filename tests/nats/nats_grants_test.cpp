// What each certificate lets a party do on real servers: each tries all that the others may, and what nobody
// may.
#define BOOST_TEST_MODULE nats_grants
#include "tests/fixtures/nats_cluster.hpp"

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;

namespace {

using Subjects = std::set<std::string>;

const NatsParty root{NatsRole::root, "root", ""};
const NatsParty origin{NatsRole::origin, "o1", ""}, other_origin{NatsRole::origin, "o2", ""};
const NatsParty vault{NatsRole::vault, "v1", "paris"}, twin{NatsRole::vault, "v2", "paris"},
    foreign_vault{NatsRole::vault, "v3", "rome.a_b"};
const NatsParty machine{NatsRole::machine, "m1", "paris"}, neighbour{NatsRole::machine, "m2", "paris"},
    foreign_machine{NatsRole::machine, "m1", "rome.a_b"};
const std::vector<NatsParty> everybody{root,          origin,  other_origin, vault,          twin,
                                       foreign_vault, machine, neighbour,    foreign_machine};

tests::NatsCluster& cluster() {
    static const auto grants = [] {
        std::vector<NatsAccess> all;
        for (const auto& party : everybody)
            all.push_back(access_of(party));
        return all;
    }();
    static tests::NatsCluster servers(1, grants);
    return servers;
}

/// A connection that tries subjects, and hears what the server says to it.
class Tries {
  public:
    explicit Tries(const NatsMember& member) {
        natsOptions_Create(&options_);
        const auto url = "tls://" + cluster().servers.addresses().front();
        natsOptions_SetURL(options_, url.c_str());
        natsOptions_SetSecure(options_, true);
        natsOptions_LoadCATrustedCertificates(options_, member.tls.authority.c_str());
        natsOptions_LoadCertificatesChain(options_, member.tls.certificate.c_str(), member.tls.key.c_str());
        status = natsConnection_Connect(&connection_, options_);
    }
    Tries(const Tries&) = delete;
    Tries& operator=(const Tries&) = delete;
    ~Tries() {
        natsConnection_Destroy(connection_);
        natsOptions_Destroy(options_);
    }

    /// Those that the server refused.
    Subjects publish(const Subjects& subjects) {
        for (const auto& subject : subjects)
            natsConnection_PublishString(connection_, subject.c_str(), "");
        return refused(subjects, "Publish");
    }
    Subjects subscribe(const Subjects& subjects) {
        std::vector<natsSubscription*> subscriptions;
        for (const auto& subject : subjects) {
            natsSubscription* subscription = nullptr;
            natsConnection_SubscribeSync(&subscription, connection_, subject.c_str());
            subscriptions.push_back(subscription);
        }
        auto found = refused(subjects, "Subscription");
        for (auto* subscription : subscriptions)
            natsSubscription_Destroy(subscription);
        return found;
    }
    natsStatus status = NATS_OK;

  private:
    // cnats keeps the last error only, and tells in a thread of its own: one subject at a time would be slow,
    // so the server's log is what is read.
    Subjects refused(const Subjects& subjects, const std::string& what) {
        const auto before = seen_;
        natsConnection_Flush(connection_);
        const auto log = cluster().servers.log(0);
        seen_ = log.size();
        Subjects found;
        for (const auto& subject : subjects)
            if (log.find(what + " Violation - ", before) != std::string::npos &&
                log.find("Subject \"" + subject + "\"", before) != std::string::npos)
                found.insert(subject);
        return found;
    }

    natsOptions* options_ = nullptr;
    natsConnection* connection_ = nullptr;
    std::size_t seen_ = cluster().servers.log(0).size();
};

const std::string paris = "stek-location-paris", rome = "stek-location-rome_-a__b";

/// Keys of each bucket, one's own and others'.
const std::map<std::string, std::vector<std::string>> keys{
    {"stek-fleet", {"list", "list.7", "other"}},
    {"stek-hourly", {"1.0", "2.1", "x"}},
    {"stek-prekeys", {"v1.1", "v2.1", "v3.1"}},
    {paris, {"machines", "machines.3", "pair.m1.1", "pair.m2.1", "record.m1.1.0", "record.m2.1.0", "other"}},
    {rome, {"machines", "machines.3", "pair.m1.1", "pair.m2.1", "record.m1.1.0", "record.m2.1.0", "other"}},
};

/// All that anybody might publish to.
Subjects all_to_publish() {
    Subjects all{"anything",
                 "$SYS.REQ.SERVER.PING",
                 "$JS.API.INFO",
                 "$JS.API.STREAM.LIST",
                 "$JS.API.STREAM.NAMES",
                 "$JS.API.STREAM.CREATE.other",
                 "$JS.API.ACCOUNT.PURGE.STEK",
                 "$JS.ACK.x",
                 "_INBOX.x",
                 "_INBOX.origin.o2.x",
                 "_INBOX.machine.stek-location-paris.m2.x",
                 "$JS.FC.x",
                 "_R_.x"};
    for (const auto& [bucket, names] : keys) {
        for (const auto* act : {"INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE",
                                "SNAPSHOT", "RESTORE", "PEER.REMOVE", "LEADER.STEPDOWN"})
            all.insert(std::string("$JS.API.STREAM.") + act + ".KV_" + bucket);
        for (const auto* act : {"CREATE.KV_", "DURABLE.CREATE.KV_", "LIST.KV_", "NAMES.KV_"})
            all.insert(std::string("$JS.API.CONSUMER.") + act + bucket);
        all.insert("$JS.API.CONSUMER.CREATE.KV_" + bucket + ".name.$KV." + bucket + ".>");
        all.insert("$JS.API.CONSUMER.DURABLE.CREATE.KV_" + bucket + ".name");
        all.insert("$JS.API.CONSUMER.MSG.NEXT.KV_" + bucket + ".name");
        all.insert("$JS.API.DIRECT.GET.KV_" + bucket);
        for (const auto& key : names) {
            all.insert("$KV." + bucket + "." + key);
            all.insert("stek.changed." + bucket + "." + key);
            all.insert("$JS.API.DIRECT.GET.KV_" + bucket + ".$KV." + bucket + "." + key);
            // The stream of one bucket, the subject of another.
            all.insert("$JS.API.DIRECT.GET.KV_" + bucket + ".$KV.stek-fleet." + key);
        }
    }
    return all;
}

Subjects all_to_subscribe() {
    Subjects all{">",
                 "*",
                 "$KV.>",
                 "$JS.>",
                 "$JS.API.>",
                 "_INBOX.>",
                 "_INBOX.*.*.>",
                 "$SYS.>",
                 "stek.changed.>",
                 "_INBOX.root.root.>"};
    for (const auto& party : everybody)
        all.insert(access_of(party).inbox + ".>");
    for (const auto& [bucket, names] : keys) {
        all.insert({"$KV." + bucket + ".>", "stek.changed." + bucket + ".>",
                    "$JS.API.DIRECT.GET.KV_" + bucket + ".>"});
        for (const auto& key : names)
            all.insert({"$KV." + bucket + "." + key, "stek.changed." + bucket + "." + key});
    }
    return all;
}

/// By hand, and not by access_of(): what a party may do, as regular expressions.
struct May {
    NatsParty party;
    std::vector<std::string> publish, subscribe;
};

const std::string read_fleet = R"(\$JS\.API\.DIRECT\.GET\.KV_stek-fleet\.\$KV\.stek-fleet\.)";
const std::string read_hourly = R"(\$JS\.API\.DIRECT\.GET\.KV_stek-hourly\.\$KV\.stek-hourly\.[12]\.[01])";

std::string info_of(const std::string& bucket) {
    return R"(\$JS\.API\.STREAM\.INFO\.KV_)" + bucket;
}
std::string read_of(const std::string& bucket, const std::string& key) {
    return R"(\$JS\.API\.DIRECT\.GET\.KV_)" + bucket + R"(\.\$KV\.)" + bucket + R"(\.)" + key;
}
std::string value_of(const std::string& bucket, const std::string& key) {
    return R"(\$KV\.)" + bucket + R"(\.)" + key;
}
std::string told_of(const std::string& bucket, const std::string& key) {
    return R"(stek\.changed\.)" + bucket + R"(\.)" + key;
}

std::vector<std::string> of_vault(const std::string& name, const std::string& own) {
    return {read_fleet + "list",
            read_hourly,
            info_of("stek-(fleet|hourly|prekeys)"),
            info_of(own),
            R"(\$JS\.API\.STREAM\.PURGE\.KV_)" + own,
            read_of("stek-prekeys", name + R"(\.1)"),
            value_of("stek-prekeys", name + R"(\.1)"),
            read_of(own, R"((machines|machines\.3|(pair|record)\.m[12]\.1(\.0)?))"),
            value_of(own, R"((machines|machines\.3|record\.m[12]\.1\.0))")};
}
std::vector<std::string> heard_by_vault(const std::string& name, const std::string& own) {
    return {R"(_INBOX\.vault\.)" + own + R"(\.)" + name + R"(\.>)", told_of("stek-fleet", "list"),
            told_of("stek-hourly", R"([12]\.[01])"), told_of("stek-prekeys", name + R"(\.1)"),
            told_of(own, R"((machines|machines\.3|(pair|record)\.m[12]\.1(\.0)?))")};
}
std::vector<std::string> of_machine(const std::string& name, const std::string& own) {
    return {read_fleet + "list", info_of("stek-fleet"), info_of(own),
            read_of(own, "(machines|pair\\." + name + R"(\.1|record\.)" + name + R"(\.1\.0))"),
            value_of(own, "pair\\." + name + R"(\.1)")};
}
std::vector<std::string> heard_by_machine(const std::string& name, const std::string& own) {
    return {R"(_INBOX\.machine\.)" + own + R"(\.)" + name + R"(\.>)", told_of("stek-fleet", "list"),
            told_of(own, "(machines|pair\\." + name + R"(\.1|record\.)" + name + R"(\.1\.0))")};
}
std::vector<std::string> of_origin() {
    return {read_fleet + "list",
            value_of("stek-fleet", "list"),
            read_hourly,
            value_of("stek-hourly", R"([12]\.[01])"),
            read_of("stek-prekeys", R"(v[123]\.1)"),
            R"(\$JS\.API\.STREAM\.PURGE\.KV_stek-(hourly|prekeys))",
            R"(\$JS\.API\.STREAM\.(NAMES|INFO\.KV_.*|CREATE\..*))"};
}
std::vector<std::string> heard_by_origin(const std::string& name) {
    return {R"(_INBOX\.origin\.)" + name + R"(\.>)", told_of("stek-fleet", "list"),
            told_of("stek-hourly", R"([12]\.[01])"), told_of("stek-prekeys", R"(v[123]\.1)")};
}

const std::vector<May> table{
    {root,
     {R"(\$JS\.API\.DIRECT\.GET\.KV_.*\.\$KV\..*)", value_of("stek-fleet", R"(list(\.7)?)"),
      R"(\$JS\.API\.STREAM\.(NAMES|INFO\.KV_.*|CREATE\..*|PURGE\.KV_stek-fleet))"},
     {R"(_INBOX\.root\.root\.>)", R"(stek\.changed\..*)"}},
    {origin, of_origin(), heard_by_origin("o1")},
    {other_origin, of_origin(), heard_by_origin("o2")},
    {vault, of_vault("v1", paris), heard_by_vault("v1", paris)},
    {twin, of_vault("v2", paris), heard_by_vault("v2", paris)},
    {foreign_vault, of_vault("v3", rome), heard_by_vault("v3", rome)},
    {machine, of_machine("m1", paris), heard_by_machine("m1", paris)},
    {neighbour, of_machine("m2", paris), heard_by_machine("m2", paris)},
    {foreign_machine, of_machine("m1", rome), heard_by_machine("m1", rome)},
};

Subjects matching(const Subjects& all, const std::vector<std::string>& patterns) {
    Subjects found;
    for (const auto& subject : all)
        if (std::ranges::any_of(
                patterns, [&](const auto& text) { return std::regex_match(subject, std::regex(text)); }))
            found.insert(subject);
    return found;
}

Subjects without(const Subjects& all, const Subjects& some) {
    Subjects left;
    std::ranges::set_difference(all, some, std::inserter(left, left.end()));
    return left;
}

std::string in_words(const Subjects& subjects) {
    std::string text;
    for (const auto& subject : subjects)
        text += "\n  " + subject;
    return text;
}

void check_same(const Subjects& expected, const Subjects& found) {
    BOOST_TEST_INFO("refused, though granted:" << in_words(without(found, expected)));
    BOOST_TEST_INFO("not refused:" << in_words(without(expected, found)));
    BOOST_TEST((expected == found));
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_may_touch_its_own_and_nothing_else) {
    const auto to_publish = all_to_publish(), to_subscribe = all_to_subscribe();
    BOOST_TEST_MESSAGE(to_publish.size() + to_subscribe.size()
                       << " subjects, " << table.size() << " parties");
    for (const auto& may : table) {
        BOOST_TEST_CONTEXT(access_of(may.party).user) {
            Tries tries(cluster().member(may.party));
            BOOST_REQUIRE(tries.status == NATS_OK);
            const auto granted = matching(to_publish, may.publish),
                       heard = matching(to_subscribe, may.subscribe);
            BOOST_TEST(!granted.empty());
            BOOST_TEST(!heard.empty());
            check_same(without(to_publish, granted), tries.publish(to_publish));
            check_same(without(to_subscribe, heard), tries.subscribe(to_subscribe));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_certificate_alone_lets_nobody_in) {
    const NatsParty unknown{NatsRole::machine, "m9", "paris"};
    BOOST_TEST(Tries(cluster().member(unknown)).status != NATS_OK);
    BOOST_TEST(Tries(cluster().member({NatsRole::machine, "m1", "nowhere"})).status != NATS_OK);
    // Another authority's, for a party that is let in.
    tests::NatsCluster elsewhere(1, {access_of(machine)});
    auto stranger = elsewhere.member(machine);
    stranger.tls.authority = cluster().in("authority.crt");
    BOOST_TEST(Tries(stranger).status != NATS_OK);
    // Without any.
    natsOptions* options = nullptr;
    natsConnection* connection = nullptr;
    natsOptions_Create(&options);
    const auto url = "tls://" + cluster().servers.addresses().front();
    natsOptions_SetURL(options, url.c_str());
    natsOptions_SetSecure(options, true);
    natsOptions_LoadCATrustedCertificates(options, cluster().in("authority.crt").c_str());
    BOOST_TEST(natsConnection_Connect(&connection, options) != NATS_OK);
    natsOptions_Destroy(options);
}
