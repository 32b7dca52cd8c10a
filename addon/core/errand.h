// Errands: a plan that a short-lived process of its own carries out, up to its HOLD record, and what is brought back:
// descriptors and texts of that process. Nothing of this process changes, whatever the plan does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/idmap.h"
#include "core/result.h"

namespace caisson {

struct ErrandOptions {
  std::string plan;
  uint64_t namespaces = 0;  // CLONE_NEW* flags to be born with
  std::string cgroup;       // directory of the cgroup v2 to be born in; empty: that of this process
  IdMaps maps;              // written when the plan asks (SYNC), or else when it holds
  std::vector<Fd> inherited;
  std::vector<std::string> open;  // names below /proc/PID to open when it holds, as "ns/net"
  std::vector<std::string> read;  // likewise to read
  bool keep = false;              // it stays until `Errand::hold` is closed
};

// What a PROBE found.
struct Probed {
  int error;  // 0: the call is there
  uint32_t value;
};

struct Errand {
  std::vector<Fd> opened;
  std::vector<Probed> probed;
  std::vector<Fd> sockets;  // one for each SOCKET; empty where the kernel has no such kind
  std::vector<std::string> texts;
  Fd hold;  // only when it was to be kept
};

// Blocks the calling thread, usually for less than a millisecond and for ten seconds at most. The thread must live as
// long as the process (see spawn.h).
Result<Errand> run_errand(ErrandOptions options);

}  // namespace caisson
