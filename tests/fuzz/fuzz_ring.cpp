// Feeds decode_ring(). The first byte chooses: the rest is the file (even), or the file without its checksum,
// which is put behind it (odd), so that the fields are reached. Only RingError may be thrown; what decodes
// encodes again to the very same bytes.
#include "provider/key_ring.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <vector>

#include <openssl/sha.h>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using stek::fuzz::require;
    if (size == 0)
        return -1;
    std::vector<std::uint8_t> file(data + 1, data + size);
    if (*data % 2 == 1) {
        const std::size_t content = file.size();
        file.resize(content + SHA256_DIGEST_LENGTH);
        SHA256(file.data(), content, file.data() + content);
    }
    try {
        const auto ring = stek::decode_ring(file);
        require(ring != nullptr, "a ring that decodes is there");
        require(std::ranges::equal(stek::encode_ring(*ring).bytes(), file),
                "a ring encodes to its own bytes");
    } catch (const stek::RingError& error) {
        require(std::string_view(error.what()).starts_with("key ring: "), "an error says what it is about");
    }
    return 0;
}
