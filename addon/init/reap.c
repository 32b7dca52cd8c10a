/* Processes that wait for others: the PID 1 of programs that do not reap, and whoever attends to a program. */
#include "context.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>

enum { SIGNAL_KILL = 9, SIGNAL_TERMINATE = 15, SIGNAL_CHILD = 17 };

static void block_all(void) {
  u64 set = ~0ull;
  SYS(rt_sigprocmask, 0 /* SIG_BLOCK */, &set, NULL, sizeof set);
}

/* Nothing open, and no right but to send signals to programs of any user. */
static void settle(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct rights[2];
  memset(rights, 0, sizeof rights);
  rights[0].effective = rights[0].permitted = 1u << CAP_KILL;
  SYS(prctl, PR_SET_NAME, "caisson-init", 0, 0, 0);
  SYS(close_range, 0, ~0u, 0);
  if (SYS(capset, &header, rights) == 0) return;
  memset(rights, 0, sizeof rights);
  SYS(capset, &header, rights);
}

static long next_signal(void) {
  u64 set = ~0ull;
  long signal;
  do signal = SYS(rt_sigtimedwait, &set, NULL, NULL, sizeof set);
  while (signal < 0);
  return signal;
}

/* PID 1: forwards signals, collects orphans, ends with the program's status. */
static _Noreturn void reap(long child) {
  settle();
  for (;;) {
    long signal = next_signal();
    if (signal != SIGNAL_CHILD) {
      SYS(kill, child, signal);
      continue;
    }
    for (;;) {
      int status;
      long pid = SYS(wait4, -1, &status, WNOHANG, NULL);
      if (pid <= 0) break;
      if (pid != child) continue;
      int by = status & 0x7f;
      quit(by ? 128 + by : status >> 8 & 0xff);
    }
  }
}

int op_reaper(struct context *c, const struct operation *op) {
  (void)op;
  block_all();
  struct clone_args args = {.exit_signal = SIGNAL_CHILD};
  long child = tried(c, "clone3", "init", SYS(clone3, &args, sizeof args));
  if (child < 0) return (int)child;
  if (child) reap(child);
  return 0;
}

static _Noreturn void end_as(int status) {
  int by = status & 0x7f;
  u64 none = 0;
  if (!by) quit(status >> 8 & 0xff);
  SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof none);
  long self = SYS(getpid);
  SYS(kill, self, by);
  quit(128 + by);
}

/*
 * A program in the pid namespace of another container. That one's PID 1 ends only after every process of its namespace
 * was reaped (pid_namespaces(7)); were this one a child of the owner, and the owner dead, that would be up to the
 * host's init. So its parent is here, outside of the container and its cgroup, and outlives both.
 */
_Noreturn void attend(struct context *c, long child) {
  int status = 0, reaped = 0;
  block_all();
  SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_TERMINATE, 0, 0, 0);
  if (control_owner_gone(c)) SYS(kill, child, SIGNAL_KILL);
  settle();
  for (;;) {
    long signal = next_signal();
    if (signal == SIGNAL_TERMINATE && !reaped) SYS(kill, child, SIGNAL_KILL);
    if (signal != SIGNAL_CHILD) continue;
    for (;;) {
      int of_this;
      long pid = SYS(wait4, -1, &of_this, WNOHANG, NULL);
      if (pid == -E_CHILD) end_as(status);
      if (pid <= 0) break;
      /* A child that forked once more left its place to the new one, which came before it went. */
      status = of_this;
      if (pid == child) reaped = 1;
    }
  }
}
