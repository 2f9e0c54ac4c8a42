// Feeds the fleet's frames. The first byte chooses the kind and the way in: the rest is a frame, which comes
// as far as its signature, or a body as behind a good one. Only FrameError may be thrown, which names the
// kind; a body that decodes encodes again to the very same bytes.
#include "tests/fixtures/recoded.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <string>

namespace {

using namespace stek;
using fuzz::require;

/// The base point of P-256: no signature by it is come upon.
constexpr fleet::Point key{0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,
                           0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
                           0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
                           0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
                           0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};

fleet::FleetId fleet_id() {
    fleet::FleetId id;
    id.fill('F');
    return id;
}

void feed_frame(fleet::Kind kind, Bytes frame) {
    const fleet::FrameHead head = peek_frame(frame, kind, fleet_id());
    require(head.kind == kind && head.fleet == fleet_id(), "a head is of the kind and the fleet asked for");
    require((head.signer == 0) == (kind == fleet::Kind::request) || kind == fleet::Kind::list,
            "a signer is one that may sign");
    require(frame.size() >= fleet::frame_overhead && frame.size() <= fleet::largest_frame(kind),
            "a frame is of a size that it may have");
    (void)fleet::frame_hash(frame);
    if (kind == fleet::Kind::request)
        (void)fleet::open_request(frame, fleet_id());
    (void)fleet::open_frame(frame, kind, fleet_id(), key);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return -1;
    const fleet::Kind kind = tests::all_kinds[*data % std::size(tests::all_kinds)];
    const bool is_frame = *data / std::size(tests::all_kinds) % 2 == 1;
    const Bytes rest(data + 1, size - 1);
    try {
        if (is_frame)
            feed_frame(kind, rest);
        else
            require(std::ranges::equal(tests::recoded(kind, rest), rest), "a body encodes to its own bytes");
    } catch (const fleet::FrameError& error) {
        require(std::string(error.what()).starts_with(std::string(fleet::name_of(kind)) + ": "),
                "an error names the kind");
    }
    return 0;
}
