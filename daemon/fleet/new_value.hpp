// A value on its way into a bucket's directory: written aside, whole and synced before it has its name.
#pragma once

#include "daemon/fleet/directory_parts.hpp"

#include <string>

#include <sys/types.h>

namespace stek::fleet {

/// A file with a name of its own in the bucket, beginning with a dot and holding a '~', which no key has and
/// rsync's own temporary names do not begin with. Removed with the object if it is still there. All functions
/// throw std::system_error. The bucket must outlive it.
class NewValue {
  public:
    explicit NewValue(const Directory& bucket);  ///< empty, and readable to nobody else
    NewValue(const NewValue&) = delete;
    NewValue& operator=(const NewValue&) = delete;
    ~NewValue();

    void write(Bytes value);  ///< synced; once
    /// False if there is something of that name. Throws EngineError if the file system cannot tell.
    bool link_to(const std::string& key);
    void rename_to(const std::string& key);  ///< over what is there

    /// Removes what writers left in the bucket when they died, one hour before this file was made at least:
    /// measured by the file system's clock, for a network share's is not ours, and ours may jump.
    void remove_older() const noexcept;

  private:
    [[nodiscard]] bool has_two_names() const;
    bool rename_if_free(const std::string& key);

    const Directory* bucket_;
    std::string name_;
    Fd file_;
    bool placed_ = false;
};

}  // namespace stek::fleet
