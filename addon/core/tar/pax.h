// Extended headers of tar archives (POSIX.1-2001, pax interchange format), with the records of star and GNU tar.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tar/entry.h"

namespace caisson::tar {

// The records that matter, for one member or for all that follow.
struct Pax {
  std::optional<std::string> path, link;
  std::optional<uint64_t> size, uid, gid;
  std::optional<Time> mtime;
  std::vector<Xattr> xattrs;

  // GNU.sparse.*
  std::optional<std::string> sparse_name;
  std::optional<uint64_t> sparse_major, sparse_minor, sparse_size, sparse_count;
  std::vector<uint64_t> sparse_map;  // offsets and sizes in turn
};

// Reads the body of an 'x' header. Throws a Fault.
Pax read_pax(std::span<const uint8_t> body);

// Reads the body of a 'g' header into what is there. Only what members can share is taken: a path, a size, attributes
// or a map for all that follow would be an attack.
void read_global_pax(std::span<const uint8_t> body, Pax& global);

// Decimal digits and nothing else. Throw a Fault that names `what`.
uint64_t decimal(std::string_view digits, const char* what);
Time decimal_time(std::string_view text);

}  // namespace caisson::tar
