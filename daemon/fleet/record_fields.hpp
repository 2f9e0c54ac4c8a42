// What encoding a record and sealing its admission key have in common; not for those who use them.
#pragma once

#include "daemon/fleet/record.hpp"
#include "provider/octets.hpp"

#include <string>

namespace stek::fleet {

/// What keeps a record from being one, what is sealed in it left aside; empty if nothing does.
std::string unfit_fields(const MachineRecord& record);
/// The bytes before enc, layout::record_sealed_head of them. Its fields are fit.
void write_sealed_head(octets::Writer& out, const MachineRecord& record);

}  // namespace stek::fleet
