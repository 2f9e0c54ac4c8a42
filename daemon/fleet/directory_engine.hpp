// An engine that is a directory: for sites without a network between them (rsync carries it), shared file
// systems, and tests.
#pragma once

#include "daemon/fleet/engine.hpp"

#include <string>

namespace stek::fleet {

/// DIR/<bucket>/<key>, one file a value. Files are written aside under a name that begins with a dot (which
/// list() and rsync's --exclude='.*' pass over), synced, then linked (create) or renamed (put): whole or not
/// there, also after a kill or a power cut. Where the file system has no hard links, create() renames without
/// replacement (renameat2); where it has neither, create() is an EngineError. Directories are made as needed
/// (0750, of the root's group if that is set-group-ID), files are 0640. What dead writers left aside is
/// removed by a later write to the bucket, an hour old at least by the file system's own clock.
///
/// Symbolic links, subdirectories and special files where a value should be are not followed or opened: as if
/// absent to readers, an EngineError to create(). put() and erase() take links and special files away. A
/// bucket that is a link is an EngineError.
///
/// The root must exist: a share that is not mounted is an error, not an empty fleet, and therefore DIR has to
/// be a directory inside the share, not where it is mounted. On NFS, inotify does not tell of other hosts'
/// changes, and only a soft mount keeps calls from blocking for ever. Copies that rsync keeps alike do not
/// agree on who was first to create(): such a fleet has one origin.
std::unique_ptr<Engine> make_directory_engine(const std::string& directory);

}  // namespace stek::fleet
