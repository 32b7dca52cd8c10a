// The process beside this one that cleans up when this one is killed (init/watch.c).
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace caisson {

// Starts it; it is restarted when it ends while this process lives. `list` says what to remove (init/watch.c). Blocks
// for a moment; call it on a worker thread that lives as long as the process.
Result<> watchdog_start(std::vector<std::string> list);

// It kills this process too, until `key` is forgotten: for what is in no cgroup, as it can clear its parent-death
// signal. The descriptor stays the caller's. On the supervisor's thread only.
void watchdog_guard(const void* key, int pidfd);
void watchdog_forget(const void* key);

}  // namespace caisson
