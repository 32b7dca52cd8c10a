/* Making a process: by clone3 where it is let through, else by the older call with the same outcome. */
#include "context.h"

#include <linux/sched.h>

/*
 * `pidfd`: where a descriptor of the child goes, if it is wanted; `cgroup`: a directory of cgroup v2 that the child is
 * in when it goes on, or -1; `number`: where its number is to be before it runs, or this process is killed (not with the
 * older call). Returns as fork does.
 */
long process_make(struct context *c, const char *what, u64 flags, u64 exit_signal, int *pidfd, int cgroup,
                  u32 *number) {
  struct clone_args args = {
      .flags = flags | (pidfd ? CLONE_PIDFD : 0) | (cgroup < 0 ? 0 : CLONE_INTO_CGROUP) | (number ? CLONE_PARENT_SETTID : 0),
      .pidfd = (u64)(usize)pidfd,
      .parent_tid = (u64)(usize)number,
      .exit_signal = exit_signal,
      .cgroup = cgroup < 0 ? 0 : (u64)cgroup,
  };
  long pid = SYS(clone3, &args, sizeof args);
  if (pid != -E_NOSYS && pid != -E_PERM) return tried(c, "clone3", what, pid);

  int procs = -1;
  if (cgroup >= 0 && (procs = (int)SYS(openat, cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC)) < 0)
    return tried(c, "openat", "cgroup.procs", procs);
  u64 old = flags | exit_signal | (pidfd ? CLONE_PIDFD : 0);
  pid = tried(c, "clone", what, SYS(clone, old, 0, pidfd, 0, 0));
  if (pid == 0 && procs >= 0) {
    long r = tried(c, "write", "cgroup.procs", SYS(write, procs, "0", 1));
    if (r < 0) fail(c, (int)-r);
  }
  close_fd(procs);
  return pid;
}
