// Holes of files: what takes no room on a disk, and whole rooms in an archive, where it is zeros.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace caisson {

// Of all files of one archive together. A program makes a hole of any size by one call, whatever its limits.
inline constexpr uint64_t HOLES_MAX = uint64_t{1} << 30;

// Whether there may be some, by what the file system says of the file.
bool is_hollow(const struct stat& status);

// Bytes of holes in the first `size` bytes; what the file has not (any more) counts as one. 0 where the file system tells
// of none. Afterwards the descriptor is at the beginning.
uint64_t holes_in(int fd, uint64_t size);

}  // namespace caisson
