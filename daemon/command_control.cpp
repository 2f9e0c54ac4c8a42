// `stekctl rotate` and `stekctl revoke`: orders to a running stekd.
#include "daemon/commands.hpp"
#include "daemon/config.hpp"
#include "daemon/control_client.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/any_config.hpp"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::json;

struct Answer {
    json reply;
    bool has_ring = true;  ///< not at a fleet's origin or vault: the machines have them
};

Answer ask(const std::string& config_file, const json& request) {
    const auto config = fleet::load_any_config(config_file);
    if (config.control.empty())
        throw ConfigError(config_file + ": paths.control: is not set, so stekd has no control socket");
    return {ask_stekd(config.control, request), !config.keyring.empty()};
}

std::string list(const json& keys) {
    std::string text;
    for (const auto& key : keys)
        text += (text.empty() ? "" : ", ") + key.get<std::string>();
    return text;
}

void print_revoked(const json& reply) {
    if (const auto& keys = reply.at("revoked"); !keys.empty())
        std::cout << "revoked " << list(keys) << '\n';
}

void print_ring(const Answer& answer) {
    const auto& reply = answer.reply;
    if (answer.has_ring)
        std::cout << "servers seal with " << reply.value("key", "no key") << " (ring generation "
                  << reply.at("generation") << ")\n";
    if (!reply.contains("warning"))
        return;
    std::cerr << "stekctl: "
              << (answer.has_ring ? "the keys are revoked, but new ones cannot be made yet: " : "")
              << reply.at("warning").get<std::string>() << '\n';
}

int rotate(const std::string& config_file, bool revoke_old) {
    const auto answer = ask(config_file, {{"do", "rotate"}, {"revoke_old", revoke_old}});
    print_revoked(answer.reply);
    print_ring(answer);
    return exit_ok;
}

template <class Number>
bool whole(std::string_view text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

/// "489122" or "489122.1"; nothing if it is neither.
std::optional<json> key_from(const std::string& text) {
    const auto dot = text.find('.');
    std::uint64_t epoch = 0;
    std::uint32_t revision = 0;
    if (!whole(std::string_view(text).substr(0, dot), epoch))
        return {};
    if (dot == std::string::npos)
        return json{{"epoch", epoch}};
    if (!whole(std::string_view(text).substr(dot + 1), revision))
        return {};
    return json{{"epoch", epoch}, {"revision", revision}};
}

std::string check_operand(const std::string& text) {
    return text == "all" || key_from(text) ? "" : text + " is not a key (489122, 489122.1) and not \"all\"";
}

/// `wanted` is what key_from() made of an operand.
bool was_revoked(const json& wanted, const json& revoked) {
    return std::any_of(revoked.begin(), revoked.end(), [&](const json& name) {
        const auto key = *key_from(name.get<std::string>());
        return wanted.contains("revision") ? key == wanted : key.at("epoch") == wanted.at("epoch");
    });
}

int revoke(const std::string& config_file, const std::vector<std::string>& operands) {
    json keys = json::array();
    if (operands.front() == "all")
        keys = "all";
    else
        for (const auto& operand : operands)
            keys.push_back(*key_from(operand));
    const auto answer = ask(config_file, {{"do", "revoke"}, {"keys", keys}});
    print_revoked(answer.reply);
    int code = exit_ok;
    for (const auto& operand : operands)
        if (operand != "all" && !was_revoked(*key_from(operand), answer.reply.at("revoked"))) {
            std::cerr << "stekctl: " << operand << " is not in the ring\n";
            code = exit_findings;
        }
    print_ring(answer);
    return code;
}

void add_config(CLI::App* command, std::string& file) {
    command->add_option("--config", file, "stekd's configuration")->capture_default_str();
}

}  // namespace

void add_rotate(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file = default_config;
        bool revoke_old = false;
    };
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("rotate", "has a new key made to seal with, now");
    add_config(command, options->file);
    command->add_flag("--revoke-old", options->revoke_old, "and the older ones revoked");
    command->callback(
        [&chosen, options] { chosen = [options] { return rotate(options->file, options->revoke_old); }; });
}

void add_revoke(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file = default_config;
        std::vector<std::string> keys;
    };
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("revoke", "has keys destroyed, with all tickets under them");
    add_config(command, options->file);
    command->add_option("keys", options->keys, "EPOCH, EPOCH.REVISION, or \"all\"")
        ->required()
        ->check(check_operand);
    command->callback([&chosen, options] {
        const auto& keys = options->keys;
        if (keys.size() > 1 && std::find(keys.begin(), keys.end(), "all") != keys.end())
            throw CLI::ValidationError("keys", "\"all\" stands alone");
        chosen = [options] { return revoke(options->file, options->keys); };
    });
}

}  // namespace stek::daemon
