// What the cases of one file share: an instance of stekd, certificates, a client.
#pragma once

#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/pki.hpp"
#include "tests/fixtures/server.hpp"
#include "tests/fixtures/tls_client.hpp"
#include "tests/fixtures/workspace.hpp"

#include <map>
#include <optional>
#include <string>

namespace stek::test {

/// Made once for a program: BOOST_TEST_GLOBAL_FIXTURE(Scene).
struct Scene {
    Scene();
    ~Scene();

    using Settings = std::map<std::string, std::string>;
    /// A setup in a new directory; `settings` change the provider's section.
    ServerSetup setup(const std::string& name, const Settings& settings = {});
    /// An instance whose keys are soon gone: 1 s each, opening for 2 s more. Made when first asked for.
    Instance& hasty();

    Workspace workspace;
    Pki pki;
    Identity www;      ///< www.stek.test and other.stek.test
    Identity another;  ///< the same names, another key
    Identity client_identity;
    Instance instance;
    TlsClient client;

  private:
    std::optional<Instance> hasty_;
    std::map<Settings, std::filesystem::path> configurations_;
};

Scene& scene();

inline constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
const char* version_name(int version) noexcept;

/// One connection with BOOST_REQUIRE that it went well and was of that version.
Connection connect(const ClientTerms& terms);
/// The same terms, offering `session`.
Connection resume(ClientTerms terms, const Connection& last);

}  // namespace stek::test
