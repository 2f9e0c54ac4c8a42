// Feeds collect_counters() a directory as hostile servers may write it: up to four files of the input's
// pieces, each piece one byte of name, one of size (in eights), then content. Nothing may be thrown. The
// counts are the sums, modulo 2^64, of those files that are whole, and folding the dead in changes none of
// them.
#include "provider/counters_block.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

using stek::fuzz::require;

constexpr const char* names[] = {"retired", "1.1", "22.7",  "333.999999999999999999999",
                                 "1",       "x.y", "4.4.4", "5."};

bool same(const stek::CounterTotals& a, const stek::CounterTotals& b) {
    return a.sealed == b.sealed && a.opened == b.opened && a.renewed == b.renewed &&
           a.token_errors == b.token_errors && a.processes == b.processes && a.declined == b.declined &&
           a.latency == b.latency && a.latency_sum_ns == b.latency_sum_ns;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const stek::fuzz::Directory directory;
    for (const char* name : names)
        std::filesystem::remove(directory.path() + "/" + name);
    auto rest = stek::fuzz::text_of(data, size);
    std::uint64_t sealed[std::size(names)] = {};
    for (int i = 0; i < 4 && rest.size() >= 2; ++i) {
        const auto which = static_cast<unsigned char>(rest[0]) % std::size(names);
        const auto piece = rest.substr(2, static_cast<std::size_t>(static_cast<unsigned char>(rest[1])) * 8);
        rest.remove_prefix(2 + piece.size());
        directory.write(names[which], piece);
        constexpr std::size_t whole = sizeof(stek::Counters::Block);
        std::uint64_t magic = 0;
        std::uint32_t version = 0;
        sealed[which] = 0;
        if (which < 4 && (piece.size() == whole || piece.size() == whole - 8)) {
            piece.copy(reinterpret_cast<char*>(&magic), sizeof magic);
            piece.copy(reinterpret_cast<char*>(&version), sizeof version, 8);
            if (magic == stek::Counters::Block::magic_number && version == (piece.size() == whole ? 2 : 1))
                piece.copy(reinterpret_cast<char*>(&sealed[which]), sizeof sealed[which], 16);
        }
    }
    const auto looked = stek::collect_counters(directory.path(), false);
    std::uint64_t sum = 0;
    for (const auto each : sealed)
        sum += each;
    require(looked.sealed == sum, "the sum of the files that are whole");
    require(looked.processes == 0, "nobody holds a file, so nobody lives");
    require(looked.declined.size() == stek::decline_kinds && looked.latency.size() == stek::latency_buckets,
            "as many counts as there are kinds");
    require(same(stek::collect_counters(directory.path(), true), looked), "folding counts the same");
    require(same(stek::collect_counters(directory.path(), true), looked), "what is folded counts the same");
    return 0;
}
