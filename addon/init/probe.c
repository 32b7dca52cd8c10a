/*
 * Whether system calls are there, by making them. Either the call is harmless, or its arguments are such that a kernel
 * that has it says so by another error than "no such call" (ENOSYS) or "forbidden" (EPERM, from a filter around us).
 * Those for mounts ask for capabilities first, so they are made in a mount namespace of our own.
 */
#include "context.h"

#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#endif

enum { NO_FD = 1 << 20, E_BADF = 9, E_FAULT = 14 };

static long probe_clone3(void) { return SYS(clone3, NULL, 0); }

static long probe_pidfd_open(void) {
  long self = SYS(getpid);
  return SYS(pidfd_open, self, 0);
}

static long probe_pidfd_send_signal(void) { return SYS(pidfd_send_signal, NO_FD, 0, NULL, 0); }

static long probe_openat2(void) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return SYS(openat2, AT_FDCWD, "/", &how, sizeof how);
}

static long probe_open_tree(void) {
  return SYS(open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static long probe_move_mount(void) {
  return SYS(move_mount, NO_FD, "", NO_FD, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static long probe_fsopen(void) { return SYS(fsopen, "tmpfs", FSOPEN_CLOEXEC); }

static long probe_mount_setattr(void) { return SYS(mount_setattr, NO_FD, "", AT_EMPTY_PATH, NULL, 0); }

static long probe_close_range(void) { return SYS(close_range, NO_FD, NO_FD, CLOSE_RANGE_CLOEXEC); }

static long probe_execveat(void) { return SYS(execveat, NO_FD, "", NULL, NULL, AT_EMPTY_PATH); }

static long probe_memfd_create(void) { return SYS(memfd_create, "caisson-probe", 1 /* MFD_CLOEXEC */); }

static long probe_pivot_root(void) { return SYS(pivot_root, NULL, NULL); }

static long probe_seccomp(void) {
  u32 action = SECCOMP_RET_ERRNO;
  return SYS(seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

/* Gives the version of the interface. */
static long probe_landlock_create_ruleset(void) { return SYS(landlock_create_ruleset, NULL, 0, 1); }

struct probe {
  long (*call)(void);
  i32 expected; /* the error that says that the call is there; 0: it succeeds */
  u8 opens;     /* it returns a descriptor */
};

static const struct probe probes[PLAN_PROBE_COUNT] = {
    [PLAN_PROBE_clone3] = {probe_clone3, E_INVAL, 0},
    [PLAN_PROBE_pidfd_open] = {probe_pidfd_open, 0, 1},
    [PLAN_PROBE_pidfd_send_signal] = {probe_pidfd_send_signal, E_BADF, 0},
    [PLAN_PROBE_openat2] = {probe_openat2, 0, 1},
    [PLAN_PROBE_open_tree] = {probe_open_tree, 0, 1},
    [PLAN_PROBE_move_mount] = {probe_move_mount, E_BADF, 0},
    [PLAN_PROBE_fsopen] = {probe_fsopen, 0, 1},
    [PLAN_PROBE_mount_setattr] = {probe_mount_setattr, E_INVAL, 0},
    [PLAN_PROBE_close_range] = {probe_close_range, 0, 0},
    [PLAN_PROBE_execveat] = {probe_execveat, E_BADF, 0},
    [PLAN_PROBE_memfd_create] = {probe_memfd_create, 0, 1},
    [PLAN_PROBE_pivot_root] = {probe_pivot_root, E_FAULT, 0},
    [PLAN_PROBE_seccomp] = {probe_seccomp, 0, 0},
    [PLAN_PROBE_landlock_create_ruleset] = {probe_landlock_create_ruleset, 0, 0},
};

int op_probe(struct context *c, const struct operation *op) {
  struct message message = {.type = MESSAGE_PROBED, .record = c->record};
  if (op->number[0] >= PLAN_PROBE_COUNT) return (int)tried(c, "plan", "probe", -E_PROTO);
  const struct probe *probe = &probes[op->number[0]];
  long r = probe->call();
  if (r >= 0) message.value = (u32)r;
  else if (-r != probe->expected) message.error = (i32)-r;
  if (r >= 0 && probe->opens) SYS(close, r);
  return (int)tried(c, "sendmsg", "probe", control_send(c, &message, NULL, 0));
}
