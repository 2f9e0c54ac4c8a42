// The test's side: runs the attacker as a server's user, judges what it brought home, prints each attempt.
#pragma once

#include "provider/ticket.hpp"
#include "tests/fixtures/process.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace stek::attack {

/// What a success would give: the STEK's bytes, and a ticket that they open.
class Prize {
  public:
    /// `ticket` as libssl sent it; `audience` as the provider took it. May be empty: then only the bytes
    /// count.
    Prize(std::vector<std::uint8_t> stek, std::vector<std::uint8_t> ticket, const Audience& audience);
    /// Whether some 32 bytes of these open the ticket with OpenSSL's AES-256-GCM, or some 8 are of the STEK.
    [[nodiscard]] bool is_in(const std::vector<std::uint8_t>& bytes) const;
    [[nodiscard]] bool opens(const std::uint8_t* key) const;

  private:
    std::vector<std::uint8_t> stek_, ticket_;
    Audience audience_;
};

enum class Verdict { refused, gives_nothing, succeeded, broken };

struct Tried {
    std::string kind, group, name, answer, use, why;
    std::vector<std::uint8_t> bytes;
    Verdict verdict = Verdict::broken;
};

class Judge {
  public:
    explicit Judge(const Prize& prize) : prize_(&prize) {}
    /// Runs attacker as `user` and judges. Throws if it does not come to its end.
    void run(const std::string& user, const test::Arguments& arguments, const test::Environment& environment);
    [[nodiscard]] const std::vector<Tried>& tried() const noexcept { return tried_; }
    /// How many of the verdict; the honest rows count for none but `broken`.
    [[nodiscard]] std::size_t count(Verdict verdict, const std::string& group = {}) const;
    [[nodiscard]] std::size_t attempts() const;
    /// Every row, and "N attempts, 0 succeeded". Group "stated" is counted apart.
    void print() const;

  private:
    [[nodiscard]] Verdict judge(const Tried& row) const;
    const Prize* prize_;
    std::vector<Tried> tried_;
};

}  // namespace stek::attack
