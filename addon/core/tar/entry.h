// One member of a tar archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace caisson::tar {

enum class Type { File, HardLink, Symlink, CharacterDevice, BlockDevice, Directory, Fifo };

struct Time {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

struct Xattr {
  std::string name;
  std::string value;
};

// A part of a sparse file that is stored; the rest is zeros.
struct Extent {
  uint64_t offset;
  uint64_t size;
};

struct Entry {
  Type type = Type::File;
  // Names are bytes, as they stand in the archive; no NUL in them.
  std::string name;
  std::string link;  // target of a symbolic or hard link
  uint32_t mode = 0;  // the lower 12 bits
  uint64_t uid = 0, gid = 0;
  Time mtime;
  uint32_t major = 0, minor = 0;
  std::vector<Xattr> xattrs;
  uint64_t stored = 0;  // bytes that the archive holds of it
  uint64_t size = 0;    // of a file when it is unpacked
  bool sparse = false;
  std::vector<Extent> extents;  // of a sparse file, ascending
};

}  // namespace caisson::tar
