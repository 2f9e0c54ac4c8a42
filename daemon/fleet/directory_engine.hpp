// An engine that is a directory: for sites without a network between them (rsync carries it), shared file
// systems, and tests.
#pragma once

#include "daemon/fleet/engine.hpp"

#include <string>

namespace stek::fleet {

/// DIR/<bucket>/<key>, one file a value. Files are written aside under a name that begins with a dot (which
/// list() and rsync's --exclude='.*' pass over), synced, then linked (create) or renamed (put): whole or not
/// there, also after a kill or a power cut. Directories are made as needed (0750), files are 0640. Left-over
/// temporary files of dead writers are removed in time. Symbolic links, subdirectories and special files
/// where a value should be are not followed or opened: as if absent. The root must exist: an unmounted share
/// is an error, not an empty fleet.
std::unique_ptr<Engine> make_directory_engine(const std::string& directory);

}  // namespace stek::fleet
