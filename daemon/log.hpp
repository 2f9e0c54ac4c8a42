// The daemon's log: the journal with structured fields, or lines on stderr where no journal listens.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <syslog.h>
#include <utility>

namespace stek::daemon {

using LogField = std::pair<std::string_view, std::string>;  ///< "STEK_EPOCH", its value

/// `priority` as in syslog(3). Never throws. Nothing secret goes in here.
void log(int priority, std::string_view message, std::initializer_list<LogField> fields = {}) noexcept;

}  // namespace stek::daemon
