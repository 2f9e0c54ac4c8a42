// Tables for people.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace stek::daemon {

using Row = std::vector<std::string>;

/// Each column as wide as its widest cell, and two spaces; the last of a row as it is.
void write_columns(std::ostream& out, const std::vector<Row>& rows);

}  // namespace stek::daemon
