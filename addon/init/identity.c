/* Who the program is and what it may do: user, capabilities, seccomp, limits. */
#include "context.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/sched/types.h>

struct rlimit64 {
  u64 soft, hard;
};

int op_rlimit(struct context *c, const struct operation *op) {
  struct rlimit64 limit = {op->number[1], op->number[2]}, now;
  char detail[24];
  detail[text_number(detail, op->number[0])] = 0;
  if (op->number[3]) {
    int r = (int)tried(c, "prlimit64", detail, SYS(prlimit64, 0, op->number[0], NULL, &now));
    if (r < 0 || now.hard >= limit.hard) return r;
    limit.soft = now.soft;
  }
  return (int)tried(c, "prlimit64", detail, SYS(prlimit64, 0, op->number[0], &limit, NULL));
}

int op_oom_score(struct context *c, const struct operation *op) {
  const char *path = "/proc/self/oom_score_adj";
  long fd = tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
  if (fd < 0) return (int)fd;
  long r = tried(c, "write", path, SYS(write, fd, op->string, strlen(op->string)));
  SYS(close, fd);
  return r < 0 ? (int)r : 0;
}

int op_scheduler(struct context *c, const struct operation *op) {
  struct sched_attr attributes = {
      .size = sizeof attributes,
      .sched_policy = (u32)op->number[0],
      .sched_nice = (i32)op->number[1],
      .sched_priority = (u32)op->number[2],
      .sched_flags = op->number[3],
  };
  return (int)tried(c, "sched_setattr", "", SYS(sched_setattr, 0, &attributes, 0));
}

int op_io_priority(struct context *c, const struct operation *op) {
  enum { WHO_PROCESS = 1 };
  return (int)tried(c, "ioprio_set", "", SYS(ioprio_set, WHO_PROCESS, 0, op->number[0]));
}

int op_affinity(struct context *c, const struct operation *op) {
  long r = tried(c, "sched_setaffinity", "", SYS(sched_setaffinity, 0, op->blob_size, op->blob));
  return r < 0 ? (int)r : 0;
}

int op_personality(struct context *c, const struct operation *op) {
  long r = tried(c, "personality", "", SYS(personality, op->number[0]));
  return r < 0 ? (int)r : 0;
}

/* A session keyring of its own, so that keys of the owner's session cannot be searched. */
int op_keyring(struct context *c, const struct operation *op) {
  (void)op;
  long r = SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, "caisson");
  /* No keyrings in this kernel or sandbox: then there are none to protect either. */
  if (r == -E_NOSYS || r == -E_PERM || r == -E_ACCES) return 0;
  return r < 0 ? (int)tried(c, "keyctl", "KEYCTL_JOIN_SESSION_KEYRING", r) : 0;
}

int op_user(struct context *c, const struct operation *op) {
  u32 uid = owner_uid(op->number[0]), gid = owner_gid(op->number[0]);
  int r = users_lookup(c, op->string, uid, gid);
  if (op->number[1]) {
    /* Ids as they were given; the lookup only served the home directory, and may fail. */
    c->uid = uid;
    c->gid = gid;
    c->groups = 0;
    r = 0;
  }
  for (u32 i = 1; r >= 0 && i < op->strings; i++) r = users_add_group(c, op_text(op, i));
  return r;
}

int op_bounding(struct context *c, const struct operation *op) {
  for (unsigned capability = 0; capability < 64; capability++) {
    if (op->number[0] >> capability & 1) continue;
    long r = SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (r == -E_INVAL) break; /* above the kernel's last one */
    if (r < 0) return (int)tried(c, "prctl", "PR_CAPBSET_DROP", r);
  }
  return 0;
}

int op_credentials(struct context *c, const struct operation *op) {
  /* For the kernel it stands for "as it is", which is root. */
  if (c->uid == ~0u || c->gid == ~0u) return (int)tried(c, "setresuid", "4294967295", -E_RANGE);
  long r = c->uid ? tried(c, "prctl", "PR_SET_KEEPCAPS", SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)) : 0;
  if (r >= 0 && !c->no_groups) {
    r = tried(c, "setgroups", "", SYS(setgroups, c->groups, c->group));
    if (r == -E_PERM && op->number[1]) r = 0;
  }
  if (r >= 0) r = tried(c, "setresgid", "", SYS(setresgid, c->gid, c->gid, c->gid));
  if (r >= 0) r = tried(c, "setresuid", "", SYS(setresuid, c->uid, c->uid, c->uid));
  if (r >= 0 && c->uid) r = tried(c, "prctl", "PR_SET_KEEPCAPS", SYS(prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0));
  if (r >= 0) SYS(umask, op->number[0]);
  return (int)r;
}

int op_capabilities(struct context *c, const struct operation *op) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  u64 effective = op->number[0], permitted = op->number[1], ambient = op->number[3];
  /*
   * Execution takes from anybody but root what is not ambient (capabilities(7)). Taken before it already, it cannot come
   * back by capabilities of the program's file, which no_new_privs only cuts down to what was there.
   */
  if (c->uid) effective &= ambient, permitted &= ambient;
  /* Only as far as they are there. */
  if (op->flags & PLAN_OPTIONAL) {
    long there = tried(c, "capget", "", SYS(capget, &header, data));
    if (there < 0) return (int)there;
    permitted &= data[0].permitted | (u64)data[1].permitted << 32;
    effective &= permitted;
  }
  for (int i = 0; i < 2; i++) {
    data[i].effective = (u32)(effective >> 32 * i);
    data[i].permitted = (u32)(permitted >> 32 * i);
    data[i].inheritable = (u32)(op->number[2] >> 32 * i);
  }
  long r = tried(c, "capset", "", SYS(capset, &header, data));
  if (r >= 0)
    r = tried(c, "prctl", "PR_CAP_AMBIENT_CLEAR_ALL",
              SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  for (unsigned capability = 0; r >= 0 && capability < 64; capability++)
    if (ambient >> capability & 1)
      r = tried(c, "prctl", "PR_CAP_AMBIENT_RAISE",
                SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0));
  return (int)r;
}

int op_no_new_privs(struct context *c, const struct operation *op) {
  (void)op;
  return (int)tried(c, "prctl", "PR_SET_NO_NEW_PRIVS", SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int op_seccomp(struct context *c, const struct operation *op) {
  struct sock_fprog program = {
      .len = (u16)(op->blob_size / sizeof(struct sock_filter)),
      .filter = (struct sock_filter *)op->blob,
  };
  plan_begins(c);
  return (int)tried(c, "seccomp", "SECCOMP_SET_MODE_FILTER",
                    SYS(seccomp, SECCOMP_SET_MODE_FILTER, op->number[0], &program));
}

/*
 * The kernel kills this process when the owner's thread ends. Changes of credentials clear the setting, so it comes
 * after them; and the owner may have died before it was made.
 */
int op_parent_death(struct context *c, const struct operation *op) {
  enum { SIGNAL_KILL = 9 };
  (void)op;
  long r = tried(c, "prctl", "PR_SET_PDEATHSIG", SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_KILL, 0, 0, 0));
  if (r >= 0 && control_owner_gone(c)) quit(125);
  return (int)r;
}
