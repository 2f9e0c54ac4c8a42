#include "daemon/fleet/identity.hpp"

namespace stek::fleet {

std::vector<std::uint8_t> Identity::sign(Kind kind, PartyNumber own, Bytes body) const {
    return make_frame({kind, fleet, own}, body,
                      [this](Bytes bytes) { return sign_with(signing.key.get(), bytes); });
}

const Party* Identity::in(const PartyList& list) const noexcept {
    const Party* party = list.find(name);
    const auto enrolled = [this](const Party& found) {
        return found.role == role && found.standing == Standing::active && found.location == location &&
               found.signing_key == signing.point &&
               found.sealing_key == (sealing ? sealing->point : Point{});
    };
    return party != nullptr && enrolled(*party) ? party : nullptr;
}

EnrolmentRequest Identity::request() const {
    return {role, name, location, signing.point, sealing ? sealing->point : Point{}};
}

}  // namespace stek::fleet
