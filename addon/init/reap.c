/* Processes that wait for others: the PID 1 of programs that do not reap, and whoever attends to a program. */
#include "context.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/wait.h>

enum { SIGNAL_KILL = 9, SIGNAL_TERMINATE = 15, SIGNAL_CHILD = 17 };

static void block_all(void) {
  u64 set = ~0ull;
  SYS(rt_sigprocmask, 0 /* SIG_BLOCK */, &set, NULL, sizeof set);
}

static void take_name(void) { SYS(prctl, PR_SET_NAME, "caisson-init", 0, 0, 0); }

/* No right but to send signals to programs of any user; then nothing open, which those see who wait for it. */
static void settle(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct rights[2];
  memset(rights, 0, sizeof rights);
  rights[0].effective = rights[0].permitted = 1u << CAP_KILL;
  if (SYS(capset, &header, rights) < 0) {
    memset(rights, 0, sizeof rights);
    SYS(capset, &header, rights);
  }
  SYS(close_range, 0, ~0u, 0);
}

static long next_signal(void) {
  u64 set = ~0ull;
  long signal;
  do signal = SYS(rt_sigtimedwait, &set, NULL, NULL, sizeof set);
  while (signal < 0);
  return signal;
}

/* At most that long: seconds and nanoseconds. Negative: none has come. */
static long next_signal_within(const i64 *time) {
  u64 set = ~0ull;
  return SYS(rt_sigtimedwait, &set, NULL, time, sizeof set);
}

/* PID 1: forwards signals, collects orphans, ends with the program's status. */
static _Noreturn void reap(long child) {
  static const u16 calls[] = {__NR_capset, __NR_close_range, __NR_rt_sigtimedwait, __NR_wait4, __NR_kill, __NR_exit_group};
  take_name();
  confine(calls, sizeof calls / sizeof *calls);
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
  int gate[2];
  char none;
  block_all();
  int r = (int)tried(c, "pipe2", "init", SYS(pipe2, gate, O_CLOEXEC));
  if (r < 0) return r;
  long child = process_make(c, "init", 0, SIGNAL_CHILD, NULL, -1, NULL);
  if (child < 0) return (int)child;
  /* For an owner without rights outside of the user namespace, who could not join it otherwise (ptrace(2)). */
  if (child && op->number[0]) SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (child) reap(child);
  /* The one that reaps is in the program's sight: when that begins, it has nothing of ours any more. */
  SYS(close, gate[1]);
  r = (int)tried(c, "read", "init", SYS(read, gate[0], &none, 1));
  SYS(close, gate[0]);
  return r < 0 ? r : 0;
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
  int status = 0, reaped = 0, followed = 0;
  block_all();
  SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_TERMINATE, 0, 0, 0);
  if (control_owner_gone(c)) SYS(kill, child, SIGNAL_KILL);
  take_name();
  settle();
  for (;;) {
    long signal = next_signal();
    if (signal == SIGNAL_TERMINATE && !reaped) SYS(kill, child, SIGNAL_KILL);
    if (signal != SIGNAL_CHILD) continue;
    for (;;) {
      int of_this;
      long pid = SYS(wait4, -1, &of_this, WNOHANG, NULL);
      /* Nobody waits for who hangs here: once there is a status any error is the end. */
      if (pid == -E_CHILD || (pid < 0 && reaped)) end_as(status);
      if (pid <= 0) break;
      /* A child that forked once more left its place to the new one, which may end before it. */
      if (pid == child) reaped = 1;
      if (pid == child && followed) continue;
      followed |= pid != child;
      status = of_this;
    }
  }
}

/*
 * Without a pid namespace the kernel ends nobody's descendants. Two things keep them together that no program leaves:
 * - the Landlock domain that this process made before the fork: signals of it reach nobody outside (Linux 6.12), so one
 *   to all processes is for them alone;
 * - else the process group, in which they stay as a filter forbids setsid(2) and setpgid(2).
 * Either way the kernel sends it to all at once, and lets nobody fork meanwhile.
 */
_Noreturn void guard(struct context *c, long child) {
  int status = 0, ending = 0, reaped = 0;
  i64 short_time[2] = {0, 2000000};
  block_all();
  SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_TERMINATE, 0, 0, 0);
  if (control_owner_gone(c)) ending = 1;
  take_name();
  settle();
  for (;;) {
    /* The group keeps its number as long as one of its processes is not reaped, which those left here are not. */
    if (ending) SYS(kill, c->scoped ? -1 : -child, SIGNAL_KILL);
    if (ending && !reaped) SYS(kill, child, SIGNAL_KILL);
    long signal = ending ? next_signal_within(short_time) : next_signal();
    if (signal == SIGNAL_TERMINATE) ending = 1;
    for (;;) {
      int of_this;
      long pid = SYS(wait4, -1, &of_this, WNOHANG, NULL);
      if (pid == -E_CHILD) end_as(status);
      if (pid <= 0) break;
      if (pid != child) continue;
      status = of_this;
      ending = reaped = 1;
    }
  }
}
