/* Joining, leaving and setting up namespaces and cgroups. */
#include "context.h"

#include <linux/net.h>
#include <linux/if.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>

/*
 * cgroup v1. Writing "0" to `tasks` moves only the writing thread, and the kernel then skips the lock that
 * cgroup.procs takes for whole thread groups (cgroup_attach_lock; a grace period of several milliseconds).
 */
int op_cgroup_join(struct context *c, const struct operation *op) {
  const char *path = op->string;
  u64 slot = op->number[0];
  /* Opened before by who saw the host's files, for the process that is born later. */
  int opened = !*path;
  long fd = opened ? slot_get(c, slot) : tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
  if (fd < 0) return (int)fd;
  if (op->number[1]) return slot_set(c, slot, (int)fd);
  long r = tried(c, "write", opened ? "tasks" : path, SYS(write, fd, "0", 1));
  if (opened) slot_set(c, slot, -1);
  else SYS(close, fd);
  return r < 0 ? (int)r : 0;
}

/* Below /proc/self, by the procfs of this process's own pid namespace even when another one is mounted by now. */
static int open_self(struct context *c, const char *name, u64 flags) {
  int self = c->self;
  if (self < 0)
    self = (int)tried(c, "openat", "/proc/self", SYS(openat, AT_FDCWD, "/proc/self", O_PATH | O_CLOEXEC));
  if (self < 0) return self;
  int fd = (int)tried(c, "openat", name, SYS(openat, self, name, flags | O_CLOEXEC));
  if (self != c->self) SYS(close, self);
  return fd;
}

int op_setns(struct context *c, const struct operation *op) {
  int fd = slot_get(c, op->number[0]);
  if (fd < 0) return fd;
  if (op->number[1] & CLONE_NEWNS && c->self < 0)
    c->self = (int)SYS(openat, AT_FDCWD, "/proc/self", O_PATH | O_CLOEXEC);
  /* A namespace that another process shares the file system attributes with cannot be left for another. */
  if (op->number[1] & CLONE_NEWNS) SYS(unshare, CLONE_FS);
  resolve_new_root();
  return (int)tried(c, "setns", "", SYS(setns, fd, op->number[1]));
}

int op_unshare(struct context *c, const struct operation *op) {
  resolve_new_root(); /* a new mount namespace has other mounts in the same places */
  return (int)tried(c, "unshare", "", SYS(unshare, op->number[0]));
}

/* A new time namespace is only entered by children or by setns; offsets must be written before that. */
int op_time(struct context *c, const struct operation *op) {
  const char *offsets = op->string, *path = "timens_offsets";
  long r = tried(c, "unshare", "time namespace", SYS(unshare, CLONE_NEWTIME));
  if (r < 0) return (int)r;
  int fd;
  if (*offsets) {
    if ((fd = open_self(c, path, O_WRONLY)) < 0) return fd;
    r = tried(c, "write", path, SYS(write, fd, offsets, strlen(offsets)));
    SYS(close, fd);
    if (r < 0) return (int)r;
  }
  path = "ns/time_for_children";
  if ((fd = open_self(c, path, O_RDONLY)) < 0) return fd;
  r = tried(c, "setns", path, SYS(setns, fd, CLONE_NEWTIME));
  SYS(close, fd);
  return (int)r;
}

int op_sync(struct context *c, const struct operation *op) {
  struct message message = {.type = MESSAGE_SYNC, .value = (u32)op->number[0]};
  int fds[32];
  if (op->number[2]) {
    int r = (int)tried(c, "sendmsg", "sync", control_send(c, &message, NULL, 0));
    if (r < 0) return r;
  }
  int count = (int)tried(c, "recvmsg", "sync", control_receive(c, &message, fds, 32));
  if (count < 0) return count;
  if (message.type != MESSAGE_GO) return (int)tried(c, "recvmsg", "sync", -E_PROTO);
  for (int i = 0; i < count; i++) {
    int r = slot_set(c, op->number[1] + (u64)i, fds[i]);
    if (r < 0) return r;
  }
  return 0;
}

/* That the owner, who is the same user, is out of reach shows that the Landlock domain holds: see guard(). */
static int guard_prepare(struct context *c) {
  long owner = SYS(getppid);
  if (c->scoped && owner > 0 && SYS(kill, owner, 0) != -E_PERM) return (int)tried(c, "kill", "landlock", -E_OPNOTSUPP);
  return (int)tried(c, "prctl", "PR_SET_CHILD_SUBREAPER", SYS(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

/* What it says comes after this, as the owner needs it: packets keep their order. */
static int tell_of_itself(struct context *c) {
  struct message message = {.type = MESSAGE_CHILD};
  long self = SYS(getpid);
  int pidfd = (int)tried(c, "pidfd_open", "", SYS(pidfd_open, self, 0));
  if (pidfd < 0) return pidfd;
  int r = (int)tried(c, "sendmsg", "fork", control_send(c, &message, &pidfd, 1));
  SYS(close, pidfd);
  return r;
}

/*
 * A process enters a pid namespace only by being born in it. The child's memory is a copy of this small program,
 * never of the owner's. It is made a child of the owner itself, so that the owner learns of its end; or it is attended.
 */
int op_fork(struct context *c, const struct operation *op) {
  int pidfd = -1, told[2] = {-1, -1}, r = 0;
  char byte = 0;
  int attended = op->number[2] != 0, guarded = op->number[2] == 2, before = op->number[3] == PLAN_TELL_BEFORE;
  if (before && (r = (int)tried(c, "pipe2", "", SYS(pipe2, told, O_CLOEXEC))) < 0) return r;
  /* The one that goes on is born in its cgroup; this one is not in it. */
  int cgroup = op->number[1] == PLAN_NONE ? -1 : slot_get(c, op->number[1]);
  if (op->number[1] != PLAN_NONE && cgroup < 0) return cgroup;
  /* Its orphans come to this process, which ends them. */
  if (guarded && (r = guard_prepare(c)) < 0) return r;
  u64 flags = (attended ? 0 : CLONE_PARENT) | op->number[0];
  long pid = process_make(c, "", flags, attended ? 17 : 0, before ? &pidfd : NULL, cgroup,
                          before && !attended ? &c->plan->child : NULL);
  if (pid < 0) return (int)pid;
  if (pid == 0 && !before) return op->number[3] == PLAN_TELL_ITSELF ? tell_of_itself(c) : 0;
  if (pid == 0) {
    /* The owner hears of this process before it hears from it. */
    SYS(close, told[1]);
    r = SYS(read, told[0], &byte, 1) == 1 ? 0 : (int)tried(c, "read", "fork", -E_CONNRESET);
    SYS(close, told[0]);
    if (guarded) SYS(setsid);
    return r;
  }
  struct message message = {.type = attended ? MESSAGE_CHILD : MESSAGE_PROCESS, .value = (u32)pid};
  if (before) {
    if (control_send(c, &message, &pidfd, 1) == 0)
      SYS(write, told[1], &byte, 1);
    else
      control_send(c, &message, NULL, 0); /* the owner is its parent, and nobody else can reap it */
  }
  if (guarded) guard(c, pid);
  if (attended) attend(c, pid);
  quit(0);
}

/* Whether nobody may drop groups in this user namespace (user_namespaces(7), "The /proc/PID/setgroups file"). */
static int groups_denied(struct context *c) {
  char text[8];
  int fd = open_self(c, "setgroups", O_RDONLY);
  if (fd < 0) return fd;
  long n = SYS(read, fd, text, sizeof text);
  SYS(close, fd);
  return n > 0 && text[0] == 'd';
}

/* Take uid and gid 0 of the user namespace that was made or entered; its id maps are written. */
int op_become_root(struct context *c, const struct operation *op) {
  int denied = op->number[0] == 2 ? groups_denied(c) : op->number[0] == 1;
  if (denied < 0) return denied;
  c->no_groups = denied;
  long r = denied ? 0 : tried(c, "setgroups", "", SYS(setgroups, 0, NULL));
  if (r < 0) return (int)r;
  r = tried(c, "setresgid", "0", SYS(setresgid, 0, 0, 0));
  if (r < 0) return (int)r;
  return (int)tried(c, "setresuid", "0", SYS(setresuid, 0, 0, 0));
}

int op_undumpable(struct context *c, const struct operation *op) {
  (void)op;
  return (int)tried(c, "prctl", "PR_SET_DUMPABLE", SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
}

int op_hostname(struct context *c, const struct operation *op) {
  const char *host = op_text(op, 0), *domain = op_text(op, 1);
  long r = 0;
  if (*host) r = tried(c, "sethostname", host, SYS(sethostname, host, strlen(host)));
  if (r >= 0 && *domain)
    r = tried(c, "setdomainname", domain, SYS(setdomainname, domain, strlen(domain)));
  return (int)r;
}

int op_loopback(struct context *c, const struct operation *op) {
  enum { INET = 2, DATAGRAM = 2, CLOEXEC = O_CLOEXEC };
  (void)op;
  long fd = tried(c, "socket", "AF_INET", SYS(socket, INET, DATAGRAM | CLOEXEC, 0));
  if (fd < 0) return (int)fd;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  text_copy(request.ifr_name, sizeof request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  long r = tried(c, "ioctl", "SIOCSIFFLAGS lo", SYS(ioctl, fd, SIOCSIFFLAGS, &request));
  SYS(close, fd);
  return (int)r;
}
