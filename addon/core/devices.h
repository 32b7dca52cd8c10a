// Which devices the processes of a cgroup may open and make: a BPF program, as cgroup v2 wants it. It needs no controller,
// so it serves hybrid hosts too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace caisson {

struct DeviceRule {
  static constexpr int64_t ANY = -1;
  enum Access { MKNOD = 1, READ = 2, WRITE = 4 };  // BPF_DEVCG_ACC_*

  bool allow = false;
  char type = 'a';  // 'b', 'c', or 'a' for both
  int64_t major = ANY, minor = ANY;
  int access = MKNOD | READ | WRITE;
};

// The last rule that fits decides; without one it is denied. A denial fits any access that it shares with the rule, an
// allowance only one that it covers wholly. Needs CAP_SYS_ADMIN or CAP_BPF with CAP_NET_ADMIN.
Result<> restrict_devices(const std::string& cgroup, const std::vector<DeviceRule>& rules);

}  // namespace caisson
