// A record's admission key, sealed to the machine: HPKE with info "stekd record v1" and as AAD
//
//   offset  size
//        0    32  fleet id
//       32   156  the record's bytes before enc: machine to the size of the wrapped key
//      188     n  wrapped key
//
// So it opens in no other record.
#include "daemon/fleet/body.hpp"
#include "daemon/fleet/record_fields.hpp"
#include "daemon/hpke.hpp"

#include <algorithm>
#include <string_view>

namespace stek::fleet {
namespace {

Bytes info() noexcept {
    static constexpr std::string_view label = "stekd record v1";
    return {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()};
}

std::vector<std::uint8_t> aad_of(const MachineRecord& record, const FleetId& fleet) {
    std::vector<std::uint8_t> aad(fleet.size() + layout::record_sealed_head + record.wrapped_key.size());
    octets::Writer out(aad);
    out.bytes(fleet);
    write_sealed_head(out, record);
    out.bytes(record.wrapped_key);
    return aad;
}

/// Nothing is sealed in a revoked record.
std::string unfit_to_seal(const MachineRecord& record) {
    return record.revoked ? "revoked: it has no admission key" : unfit_fields(record);
}

}  // namespace

void seal_admission_key(MachineRecord& record, const FleetId& fleet, const Point& machine_key,
                        const SecretArray<admission_key_size>& admission_key) {
    refuse_if<std::invalid_argument>(Kind::record, unfit_to_seal(record));
    const hpke::Sealed sealed = hpke::seal(machine_key, info(), aad_of(record, fleet), admission_key.bytes());
    record.enc = sealed.enc;
    std::ranges::copy(sealed.ciphertext, record.sealed_admission_key.begin());
}

void open_admission_key(const MachineRecord& record, const FleetId& fleet, EVP_PKEY* machine_key,
                        const Point& machine_public, SecretArray<admission_key_size>& out) {
    refuse_if<FrameError>(Kind::record, unfit_to_seal(record));
    const Secret opened = hpke::open(machine_key, machine_public, record.enc, info(), aad_of(record, fleet),
                                     record.sealed_admission_key);
    std::ranges::copy(opened.bytes(), out.span().begin());
}

}  // namespace stek::fleet
