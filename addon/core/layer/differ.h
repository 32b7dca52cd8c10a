// What a writable layer of overlay changes in those below.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "core/layer/applier.h"
#include "core/layer/lowers.h"

namespace caisson {

struct Change {
  enum class Kind { Added, Modified, Deleted };
  std::string path;  // from the root, with a slash in front
  Kind kind;
};

// Of the paths of all changes together: they are kept, and a program makes many long ones at once.
inline constexpr size_t CHANGES_BYTES_MAX = 256 << 20;

struct DiffOptions {
  // `upper` is what overlay shows, not what it writes to. What it has not copied up has the ctime of a layer below
  // (nobody can set one), and of a directory so has all in it: only the changed parts of the tree are looked at.
  bool merged = false;
  std::string xattrs = "trusted";  // of overlay's marks
  // Clean paths that somebody else than the container makes, as places to mount something at.
  std::set<std::string> own;
  std::vector<IdRange> uids, gids;  // of a merged view, when the ids below are others: inside there, outside here
};

// `upper` is the directory that overlay writes to, `lowers` those below it, the uppermost first. As `docker diff`: a
// directory counts as modified when its metadata differ or something in it is changed; of what is deleted or added with
// all below it, deletions name the top only. Sorted by path. Throws a Fault,
// also for more than CHANGES_BYTES_MAX or a path that is longer than any that can be opened (names.h).
std::vector<Change> find_changes(FileSystem& files, int upper, std::vector<int> lowers, const DiffOptions& options,
                                 const std::atomic<bool>& cancelled);

}  // namespace caisson
