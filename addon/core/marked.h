// Processes that are told by a cgroup namespace of their own: where no cgroup can be had to keep them together.
#pragma once

#include <sys/types.h>

namespace caisson {

// The cgroup namespace of a process, by its inode; 0 when it has ended or may not be looked at.
ino_t mark_of(pid_t pid);

// Kills all that is in it, once; false when there was none. A guest without CAP_SYS_ADMIN cannot leave it.
bool kill_marked(ino_t mark);

}  // namespace caisson
