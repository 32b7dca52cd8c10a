// System calls that C libraries do not wrap, or wrap only lately.
#pragma once

#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "core/fd.h"
#include "core/result.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace caisson::sys {

inline long pidfd_send_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

inline int pidfd_open(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// Whole content of a small (kernel) file; empty with errno set when it cannot be read. `short_lines`: far below 2 kB each,
// so that a read which leaves half of its buffer empty was the last.
std::string read_file(const std::string& path, size_t limit = 1 << 20, bool short_lines = false);

// One write of the whole text, as kernel files want it.
bool write_file(const std::string& path, const std::string& text);

}  // namespace caisson::sys
