// What must be quick or certain about cgroups; everything else is files that TypeScript names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace caisson {

// The directories of one container or exec, in every hierarchy that it is in.
struct CgroupPaths {
  std::string unified;              // cgroup v2, also on hybrid hosts; may be empty
  std::string entered;              // where in `unified` the process is born, when not at its top
  std::vector<std::string> legacy;  // cgroup v1
  std::string freezer;              // the one of `legacy` that freezes, if any
};

// Each of them through `change`, which gives the new text.
template <typename Change>
void each_path(CgroupPaths* paths, const Change& change) {
  for (std::string* path : {&paths->unified, &paths->entered, &paths->freezer}) *path = change(*path);
  for (std::string& path : paths->legacy) path = change(path);
}

// Kills every process in it, descendants included. False when nothing could be done (no cgroup).
bool cgroup_kill(const CgroupPaths& paths);

// Removes the directories with what is below; true when they are gone.
bool cgroup_remove(const CgroupPaths& paths);

// Moves all processes of `from`, and of groups below it, to `to`, a group of another v1 hierarchy; nobody may start more of
// them meanwhile. `back`: where in that hierarchy they were.
Result<> cgroup_move(const std::string& from, const std::string& to, const std::string& back);

// Microseconds used, from cpu.stat (v2: "usage_usec N") or cpuacct.usage (v1: nanoseconds); -1 when it cannot be read.
double cgroup_cpu_used_us(const std::string& path);

// How many processes of a v1 group, and of those that programs have made below, the kernel killed for lack of memory.
uint64_t cgroup_oom_kills(const std::string& oom_control);

}  // namespace caisson
