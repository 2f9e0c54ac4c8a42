#include "tests/attack/judge.hpp"

#include "tests/fixtures/workspace.hpp"
#include "tests/token/open_token.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>

#include <openssl/evp.h>

namespace stek::attack {

namespace {

constexpr std::size_t iv_size = 12, tag_size = 16, mac_size = 32, stek_size = 32;
constexpr std::size_t telling = 8;  // so many bytes of the key in a row are no chance

}  // namespace

Prize::Prize(std::vector<std::uint8_t> stek, std::vector<std::uint8_t> ticket, const Audience& audience)
    : stek_(std::move(stek)), ticket_(std::move(ticket)), audience_(audience) {}

bool Prize::opens(const std::uint8_t* key) const {
    KeyName name;
    constexpr std::size_t head = name.size() + iv_size;
    if (ticket_.size() < head + tag_size + mac_size)
        return false;
    std::copy_n(ticket_.begin(), name.size(), name.begin());
    const auto aad = ticket_aad(name, audience_);
    const std::uint8_t* sealed = ticket_.data() + head;
    const std::size_t size = ticket_.size() - head - tag_size - mac_size;
    std::vector<std::uint8_t> out(size), tag(sealed + size, sealed + size + tag_size);
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    int length = 0;
    return EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key, ticket_.data() + name.size()) ==
               1 &&
           EVP_DecryptUpdate(context.get(), nullptr, &length, aad.data(), static_cast<int>(aad.size())) ==
               1 &&
           EVP_DecryptUpdate(context.get(), out.data(), &length, sealed, static_cast<int>(size)) == 1 &&
           EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag.data()) == 1 &&
           EVP_DecryptFinal_ex(context.get(), out.data() + length, &length) == 1;
}

bool Prize::is_in(const std::vector<std::uint8_t>& bytes) const {
    for (std::size_t at = 0; at + stek_size <= bytes.size(); ++at)
        if (opens(bytes.data() + at))
            return true;
    for (std::size_t from = 0; from + telling <= stek_.size(); ++from)
        if (std::search(bytes.begin(), bytes.end(), stek_.begin() + static_cast<std::ptrdiff_t>(from),
                        stek_.begin() + static_cast<std::ptrdiff_t>(from + telling)) != bytes.end())
            return true;
    return false;
}

Verdict Judge::judge(const Tried& row) const {
    if (row.kind != "granted" && row.kind != "refused" && row.kind != "crashed")
        return Verdict::broken;
    // Bytes count even where the call failed: they may have been written before it did.
    if (!row.use.empty() || prize_->is_in(row.bytes))
        return Verdict::succeeded;
    if (row.kind != "granted")
        return Verdict::refused;
    return row.why.empty() ? Verdict::broken : Verdict::gives_nothing;
}

void Judge::run(const std::string& user, const test::Arguments& arguments,
                const test::Environment& environment) {
    // The build's directory may be closed to that user.
    test::Workspace space("attack");
    const auto program = space.path() / "attacker", log = space.path() / "log";
    std::filesystem::copy_file(STEK_ATTACKER, program);
    test::Arguments all{"setpriv", "--reuid", user, "--clear-groups"};
    all.insert(all.end(), {"--regid", user == "nobody" ? "nogroup" : user, program});
    all.insert(all.end(), arguments.begin(), arguments.end());
    test::Process attacker(all, environment, log);
    if (!attacker.wait(std::chrono::minutes(8)))
        throw std::runtime_error("the attacker does not end: " + test::read_file(log));
    std::istringstream lines(test::read_file(log));
    bool ended = false;
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::string> fields(1);
        for (const char c : line)
            if (c == '\t')
                fields.emplace_back();
            else
                fields.back() += c;
        ended = line == "end";
        if (fields.size() != 7)
            continue;
        Tried row{
            fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], tests::from_hex(fields[6]), {}};
        row.verdict = judge(row);
        tried_.push_back(std::move(row));
    }
    if (!ended)
        throw std::runtime_error("the attacker came to no end: " + test::read_file(log));
}

std::size_t Judge::count(Verdict verdict, const std::string& group) const {
    return static_cast<std::size_t>(std::ranges::count_if(tried_, [&](const Tried& row) {
        return row.verdict == verdict &&
               (group.empty() ? row.group != "honest" || verdict == Verdict::broken : row.group == group);
    }));
}

std::size_t Judge::attempts() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        tried_, [](const Tried& row) { return row.group != "honest" && row.group != "stated"; }));
}

void Judge::print() const {
    for (const Tried& row : tried_) {
        std::string verdict;
        switch (row.verdict) {
            case Verdict::refused:
                verdict = "refused";
                break;
            case Verdict::gives_nothing:
                verdict = row.group == "honest" ? row.why : "ok, gives nothing: " + row.why;
                break;
            case Verdict::succeeded:
                verdict = (row.group == "stated" ? "possible, as stated: " : "SUCCEEDED: ") + row.use +
                          (prize_->is_in(row.bytes) ? " [the STEK's bytes]" : "");
                break;
            case Verdict::broken:
                verdict = "NO PROOF: could not be tried, or gave what nobody has explained";
                break;
        }
        std::printf("%-8s%-66s %-36s %s\n", row.group.c_str(), row.name.c_str(), row.answer.c_str(),
                    verdict.c_str());
    }
    const std::size_t stated = count(Verdict::succeeded, "stated");
    std::printf("%zu attempts, %zu succeeded", attempts(), count(Verdict::succeeded) - stated);
    if (stated > 0)
        std::printf("; %zu more are possible as the threat model states", stated);
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace stek::attack
