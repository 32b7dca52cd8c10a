/*
 * Errands (core/errand.h): the owner takes what it wanted from this process's /proc entries while it holds still. Then
 * the owner closes the socket; or it leaves it open, and this process stays as the PID 1 of an otherwise empty pid
 * namespace.
 */
#include "context.h"

#include <linux/capability.h>
#include <linux/prctl.h>

/* As the kernel takes it. */
struct signal_action {
  const void *handler;
  u64 flags;
  const void *restorer;
  u64 mask;
};

int op_hold(struct context *c, const struct operation *op) {
  enum { SIGNAL_KILL = 9, SIGNAL_CHILD = 17 };
  static const u16 calls[] = {__NR_capset,  __NR_prctl, __NR_close_range, __NR_sendmsg,
                              __NR_recvmsg, __NR_close, __NR_exit_group};
  struct signal_action ignore = {.handler = (void *)1 /* SIG_IGN */};
  struct message message = {.type = MESSAGE_READY};
  /* Orphans of the namespace become our children; the kernel reaps those of a parent that ignores SIGCHLD. */
  long r = tried(c, "rt_sigaction", "SIGCHLD", SYS(rt_sigaction, SIGNAL_CHILD, &ignore, NULL, sizeof ignore.mask));
  if (r >= 0) r = tried(c, "sendmsg", "ready", control_send(c, &message, NULL, 0));
  if (r < 0) return (int)r;
  r = control_receive(c, &message, NULL, 0);
  if (r < 0 || message.type != MESSAGE_GO) quit(0);

  /* From here on others may see this process: nothing of it can be read, and it can do nothing. */
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  r = tried(c, "prctl", "PR_SET_DUMPABLE", SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
  if (op->number[0]) {
    SYS(setgroups, 0, NULL); /* a user namespace may deny it, and then there is no way */
    if (r >= 0) r = tried(c, "setresgid", "0", SYS(setresgid, 0, 0, 0));
    if (r >= 0) r = tried(c, "setresuid", "0", SYS(setresuid, 0, 0, 0));
  }
  if (r >= 0) confine(calls, sizeof calls / sizeof *calls);
  if (r >= 0) r = tried(c, "capset", "", SYS(capset, &header, none));
  if (r >= 0) r = tried(c, "prctl", "PR_SET_PDEATHSIG", SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_KILL, 0, 0, 0));
  if (r < 0) return (int)r;
  SYS(close_range, 0, c->control - 1, 0);
  SYS(close_range, c->control + 1, ~0u, 0);
  while (control_receive(c, &message, NULL, 0) >= 0) continue;
  quit(0);
}
