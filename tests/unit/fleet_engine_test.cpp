// The distribution engines keep their contract, and each location has a bucket of its own.
#define BOOST_TEST_MODULE fleet_engine
#include "daemon/fleet/directory_engine.hpp"
#include "tests/fixtures/engine_contract.hpp"
#include "tests/fixtures/workspace.hpp"

#include <set>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;

namespace {

std::unique_ptr<Engine> shared_directory() {
    static const test::Workspace workspace("fleet-engine");
    return make_directory_engine(workspace.path());
}

const tests::EngineContract of_directories("directories", shared_directory);

}  // namespace

BOOST_AUTO_TEST_CASE(each_location_has_a_bucket_of_its_own) {
    BOOST_TEST(bucket::of_location("fra1") == "stek-location-fra1");
    BOOST_TEST(bucket::of_location("fra1.example_net") == "stek-location-fra1_-example__net");
    // What might be taken for one another, or for the fleet's own.
    const std::set<std::string> locations{"a.b", "a_b", "a-b", "a_-b", "a__b", "a.-b",  "a..b",   ".",
                                          "_",   "-",   "..",  "__",   "_.",   "fleet", "hourly", "prekeys"};
    std::set<std::string> buckets{bucket::fleet, bucket::hourly, bucket::pre_keys};
    for (const auto& location : locations)
        buckets.insert(bucket::of_location(location));
    BOOST_TEST(buckets.size() == locations.size() + 3);
    for (const auto& name : buckets)
        BOOST_TEST(fit_for_bucket(name));
    BOOST_TEST(fit_for_bucket(bucket::of_location(std::string(64, '.'))));
}

BOOST_AUTO_TEST_CASE(what_is_no_location_has_no_bucket) {
    for (const auto& location : {std::string(), std::string(65, 'a'), std::string("a/b"), std::string("a b")})
        BOOST_CHECK_THROW(bucket::of_location(location), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(an_engine_names_itself_for_people) {
    BOOST_TEST(make_directory_engine("/srv/stek")->name() == "directory /srv/stek");
}
