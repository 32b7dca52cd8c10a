// What a writable layer of overlay changes in those below.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "core/layer/lowers.h"

namespace caisson {

struct Change {
  enum class Kind { Added, Modified, Deleted };
  std::string path;  // from the root, with a slash in front
  Kind kind;
};

// `upper` is the directory that overlay writes to, `lowers` those below it, the uppermost first. As `docker diff`: a
// directory counts as modified when its metadata differ or something in it is changed; of what is deleted or added with
// all below it, deletions name the top only. Sorted by path. Throws a Fault.
std::vector<Change> find_changes(FileSystem& files, int upper, std::vector<int> lowers, const std::string& xattrs,
                                 const std::atomic<bool>& cancelled);

}  // namespace caisson
