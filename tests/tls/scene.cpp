#include "tests/tls/scene.hpp"

#include <csignal>

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

Scene* current = nullptr;

// Short, so that rotations are seen; the ring has at most 256 records.
constexpr Instance::Times quick{2, 120}, gone_soon{1, 2};

}  // namespace

Scene::Scene()
    : workspace("tls"),
      pki(workspace.subdirectory("pki")),
      www(pki.server("www", {"www.stek.test", "other.stek.test"})),
      another(pki.server("another", {"www.stek.test", "other.stek.test"})),
      client_identity(pki.client("client")),
      instance(workspace, quick),
      client(pki) {
    // a server may close while we write
    std::signal(SIGPIPE, SIG_IGN);
    current = this;
}

Scene::~Scene() {
    current = nullptr;
}

ServerSetup Scene::setup(const std::string& name, const Settings& settings) {
    auto& conf = configurations_[settings];
    if (conf.empty())
        conf = settings.empty() ? instance.openssl_conf() : instance.openssl_conf_with(settings);
    return {workspace.subdirectory(name), conf, www, pki.authority()};
}

Instance& Scene::hasty() {
    if (!hasty_)
        hasty_.emplace(workspace, gone_soon);
    return *hasty_;
}

Scene& scene() {
    return *current;
}

const char* version_name(int version) noexcept {
    return version == TLS1_3_VERSION ? "tls13" : "tls12";
}

Connection connect(const ClientTerms& terms) {
    Connection connection = scene().client.connect(terms);
    BOOST_REQUIRE_MESSAGE(connection.ok, connection.error);
    BOOST_REQUIRE_EQUAL(connection.version, terms.version);
    return connection;
}

Connection resume(ClientTerms terms, const Connection& last) {
    terms.session = last.session;
    return connect(terms);
}

}  // namespace stek::test
