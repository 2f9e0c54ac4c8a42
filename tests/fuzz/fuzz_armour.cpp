// Feeds enrolment requests as text. Only FrameError may be thrown; what is read, written again as text, is
// read as the same bytes.
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/party.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <string>

using namespace stek;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const auto frame = fleet::unarmour_request({reinterpret_cast<const char*>(data), size});
        fuzz::require(frame == fleet::unarmour_request(fleet::armour_request(frame)),
                      "a frame comes back from its text");
        fleet::FleetId id;
        id.fill('F');
        (void)fleet::open_request(frame, id);
    } catch (const fleet::FrameError& error) {
        fuzz::require(std::string(error.what()).starts_with("enrolment request: "),
                      "an error names the kind");
    }
    return 0;
}
