// STEK-KDF from the openssl command, as the documentation shows it.
#define BOOST_TEST_MODULE openssl_command
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/io.hpp>
#include <boost/process/search_path.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace stek;
using namespace stek::tests;
namespace process = boost::process;

namespace {

struct Answer {
    int code;
    std::string out, err;
};

class Command {
  public:
    Command() : made_(softhsm_.make_token("vault")) {
        std::ofstream(conf_) << "openssl_conf = init\n[init]\nproviders = providers\n"
                                "[providers]\ndefault = base\nstek = stek\n[base]\nactivate = 1\n"
                                "[stek]\nmodule = " STEK_MODULE "\nactivate = 1\nattach = no\n"
                             << "token = " << SoftHsm::uri_with_pin(made_) << "\n"
                             << "module-config = " << softhsm_.conf().string() << "\n";
    }
    void configure_as_servers() {
        const auto dir = softhsm_.directory();
        std::filesystem::create_directory(dir / "stats");
        std::ofstream(conf_) << ".include /etc/ssl/openssl.cnf\n[openssl_init]\nproviders = stek_providers\n"
                                "[stek_providers]\ndefault = stek_default\nstek = stek_section\n"
                                "[stek_default]\nactivate = 1\n[stek_section]\n"
                                "module = " STEK_MODULE "\nactivate = 1\n"
                             << "token = " << SoftHsm::uri(made_) << "\n"
                             << "module-config = " << softhsm_.conf().string() << "\n"
                             << "location = here\nkeyring = " << (dir / "keyring").string() << "\n"
                             << "stats = " << (dir / "stats").string() << "\n";
    }
    Answer run(const std::vector<std::string>& arguments) {
        const auto out = softhsm_.directory() / "stdout";
        const auto err = softhsm_.directory() / "stderr";
        for (const auto& file : {out, err})
            std::filesystem::remove(file);  // it would be written over, not cut
        process::child child(process::search_path("openssl"), process::args(arguments),
                             process::env["OPENSSL_CONF"] = conf_.string(),
                             process::env["SOFTHSM2_CONF"] = "/nonexistent", process::std_out > out.string(),
                             process::std_err > err.string());
        child.wait();
        // A process that died of a signal has no exit code to compare.
        BOOST_REQUIRE_EQUAL(WIFEXITED(child.native_exit_code()), true);
        return {child.exit_code(), text(out), text(err)};
    }
    Answer derive(const std::string& epoch, const std::string& revision, const std::string& hourly_key) {
        static const RsaPair rsa;
        return run({"kdf", "-keylen", "16", "-kdfopt", "epoch:" + epoch, "-kdfopt", "revision:" + revision,
                    "-kdfopt", "hexhourly-key:" + hourly_key, "-kdfopt", "hexwrap-key:" + to_hex(rsa.spki()),
                    "STEK-KDF"});
    }
    void put_chain(Bytes value, ChainPosition at) {
        pkcs11::Session session = log_in(find_token(SoftHsm::uri(made_)), "file:" + made_.pin_file.string());
        auto key = known_chain_key(value, at);
        session.create(key);
    }

  private:
    static std::string text(const std::filesystem::path& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    SoftHsm softhsm_;
    TestToken made_;
    std::filesystem::path conf_ = softhsm_.directory() / "openssl.cnf";
};

/// "AB:CD\n" as "abcd".
std::string plain_hex(const std::string& printed) {
    std::string hex;
    for (const char letter : printed)
        if (std::isxdigit(static_cast<unsigned char>(letter)) != 0)
            hex += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    return hex;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_command_lists_the_algorithm) {
    Command command;
    const Answer answer = command.run({"list", "-kdf-algorithms"});
    BOOST_TEST(answer.code == 0);
    BOOST_TEST(answer.out.find("STEK-KDF @ stek") != std::string::npos, answer.out);
}

// docs/stek-provider.md, "From the command line": with the section that servers get, no ring there yet.
BOOST_AUTO_TEST_CASE(the_command_lists_what_servers_get) {
    Command command;
    command.configure_as_servers();
    const Answer providers = command.run({"list", "-providers"});
    BOOST_TEST(providers.code == 0, providers.err);
    BOOST_TEST(
        providers.out.find("  stek\n    name: session ticket keys in a PKCS#11 token\n") != std::string::npos,
        providers.out);
    const auto lines = [&](const std::vector<std::string>& arguments) {
        const Answer answer = command.run(arguments);
        BOOST_TEST(answer.code == 0, answer.err);
        BOOST_TEST(answer.err == "");
        std::vector<std::string> ours;
        std::istringstream out(answer.out);
        for (std::string line; std::getline(out, line);)
            if (line.find("STEK") != std::string::npos)
                ours.push_back(line);
        return ours;
    };
    const std::vector<std::string> cipher{"  STEK-AES-256-GCM @ stek"}, kdf{"  STEK-KDF @ stek"};
    BOOST_TEST(lines({"list", "-cipher-algorithms"}) == cipher, boost::test_tools::per_element());
    BOOST_TEST(lines({"list", "-kdf-algorithms"}) == kdf, boost::test_tools::per_element());
    auto both = lines({"list", "-cipher-algorithms", "-kdf-algorithms"});
    std::ranges::sort(both);
    const std::vector<std::string> all{cipher[0], kdf[0]};
    BOOST_TEST(both == all, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_command_prints_the_key_name) {
    std::ifstream file(STEK_VECTORS "/schedule.json");
    const auto vectors = nlohmann::json::parse(file);
    const auto& chain = vectors.at("chains").at(1);
    Command command;
    command.put_chain(from_hex(chain["chain_key"]), {chain["index"], chain["epoch"]});
    for (const auto& epoch : chain["epochs"]) {
        const auto& expected = epoch["steks"][1];
        const Answer answer =
            command.derive(std::to_string(epoch["epoch"].get<std::uint64_t>()), "1", expected["hourly_key"]);
        BOOST_TEST(answer.code == 0, answer.err);
        BOOST_TEST(plain_hex(answer.out) == expected["key_name"].get<std::string>());
    }
}

BOOST_AUTO_TEST_CASE(the_command_says_why_it_fails) {
    Command command;
    const std::string hourly(64, '7');
    Answer answer = command.derive("7", "0", hourly);
    BOOST_TEST(answer.code == 1);
    BOOST_TEST(answer.err.find("token vault holds no chain key") != std::string::npos, answer.err);
    command.put_chain(std::vector<std::uint8_t>(32, 1), {0, 8});
    answer = command.derive("7", "0", hourly);
    BOOST_TEST(answer.code == 1);
    BOOST_TEST(answer.err.find("epoch 7 is before the chain's, 8") != std::string::npos, answer.err);
    answer = command.derive("8", "0", "77");
    BOOST_TEST(answer.code == 1);
    BOOST_TEST(answer.err.find("hourly-key: 1 bytes, 32 are needed") != std::string::npos, answer.err);
    BOOST_TEST(answer.err.find(hourly) == std::string::npos);
}
