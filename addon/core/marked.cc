#include "core/marked.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "core/sys.h"

namespace caisson {

ino_t mark_of(pid_t pid) {
  struct stat status;
  std::string path = "/proc/" + std::to_string(pid) + "/ns/cgroup";
  return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

bool kill_marked(ino_t mark) {
  // Never ours, with all that is in it.
  if (mark == mark_of(getpid())) return false;
  std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"), closedir);
  bool any = false;
  while (dirent* entry = processes ? readdir(processes.get()) : nullptr) {
    auto pid = static_cast<pid_t>(strtol(entry->d_name, nullptr, 10));
    // A zombie has no namespaces any more. The descriptor first: the number may be another's by the time of the kill.
    if (pid <= 0) continue;
    Fd handle(sys::pidfd_open(pid));
    if (!handle || mark_of(pid) != mark) continue;
    any = sys::pidfd_send_signal(handle.get(), SIGKILL) == 0 || any;
  }
  return any;
}

}  // namespace caisson
