// Creating a process that executes the init program, at a cost that does not depend on the size of this process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "init/plan.h"

namespace caisson {

// Descriptors that one process can be given.
inline constexpr int SPAWN_FDS_MAX = 128;

struct SpawnOptions {
  // CLONE_NEW* flags for the new process.
  uint64_t namespaces = 0;
  // Directory of the cgroup v2 to be born in; empty: that of this process.
  std::string cgroup;
  // The word after the program's name: "run" or "watch".
  const char* mode = "run";
  // fds[i] becomes descriptor i; nothing else passes on.
  std::vector<int> fds;
};

struct Spawned {
  pid_t pid;
  Fd pidfd;
};

// Blocks the calling thread until the init program is executed (about 0.1 ms). Must be called from a thread that lives
// as long as the process: the kernel ties the parent-death signal to the creating thread.
Result<Spawned> spawn(const SpawnOptions& options);

// The process that `plan` says was made for us and that nobody has told of; killed, but not waited for. 0: none.
pid_t child_not_told(const plan_header& plan);

}  // namespace caisson
