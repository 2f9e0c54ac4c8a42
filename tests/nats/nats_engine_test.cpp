// NATS as the engine keeps the contract, on one server and on three.
#define BOOST_TEST_MODULE nats_engine
#include "tests/fixtures/engine_contract.hpp"
#include "tests/fixtures/nats_cluster.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;

namespace {

const NatsParty whoever{NatsRole::root, "root", ""};

/// The contract's buckets are nobody's.
NatsAccess everything() {
    auto access = access_of(whoever);
    access.publish = {"$KV.>", "$JS.API.>"};
    access.subscribe.emplace_back("stek.changed.>");
    return access;
}

std::unique_ptr<Engine> connect_to(tests::NatsCluster& cluster) {
    return make_nats_engine(cluster.settings({cluster.member(whoever, everything())}));
}

template <unsigned Servers>
std::unique_ptr<Engine> connect() {
    static tests::NatsCluster cluster(Servers, {everything()});
    static const auto member = cluster.member(whoever, everything());
    return make_nats_engine(cluster.settings({member}));
}

const tests::EngineContract of_one_server("one_server", connect<1>);
const tests::EngineContract of_three_servers("three_servers", connect<3>);

}  // namespace

BOOST_AUTO_TEST_CASE(an_engine_names_itself_for_people) {
    tests::NatsCluster cluster(1, {everything()});
    BOOST_TEST(connect_to(cluster)->name() == "NATS at " + cluster.servers.addresses().front());
}
