// An instance of stekd to attack, and what the tests must know of it to judge.
#pragma once

#include "tests/attack/judge.hpp"
#include "tests/attack/softhsm_file.hpp"
#include "tests/token/stekd_instance.hpp"

namespace stek::attack {

/// The reader that a server runs as.
inline constexpr char server_user[] = "nobody";

/// `stekctl init` and a stekd that runs. Must be root: an attacker that may become nobody's user shows
/// nothing.
class Target : public test::StekdInstance {
  public:
    Target();
    [[nodiscard]] std::filesystem::path ticket_directory() const;
    /// The provider's section for a server of this instance; its audience is the one below.
    [[nodiscard]] std::map<std::string, std::string> section() const { return section_for(*this); }
    [[nodiscard]] static std::map<std::string, std::string> section_for(const test::StekdInstance& instance);
    [[nodiscard]] static Audience audience();
    /// One that a server with the provider sends, made in a process of its own.
    [[nodiscard]] std::vector<std::uint8_t> real_ticket() const;
    /// The STEK that this ticket is sealed under, by the token's files, which root can read.
    [[nodiscard]] std::vector<std::uint8_t> stek_of(const std::vector<std::uint8_t>& ticket) const;
    /// Each file of the ticket token and the ring, by name: to see that nothing has changed.
    [[nodiscard]] std::map<std::string, std::string> files() const;
    [[nodiscard]] test::Outcome control(test::Arguments arguments) const;
    [[nodiscard]] test::Environment environment() const {
        return {{"SOFTHSM2_CONF", directory / "softhsm2.conf"}};
    }
};

}  // namespace stek::attack
