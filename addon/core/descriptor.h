// Work on descriptors that a container's agent has sent.
#pragma once

#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

struct DirectoryEntry {
  std::string name;
  unsigned char type;  // DT_*
};

// The entries of an open directory, without `.` and `..`. EFBIG: there are more than `most`; it may grow as fast as it is read.
Result<std::vector<DirectoryEntry>> read_directory(Fd directory, size_t most);

// Connects a socket to an address of its network namespace. The descriptor comes back non-blocking.
Result<Fd> connect_socket(Fd socket, const std::string& address, int port, int timeout_ms);

}  // namespace caisson
