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
  long fd = tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
  if (fd < 0) return (int)fd;
  long r = tried(c, "write", path, SYS(write, fd, "0", 1));
  SYS(close, fd);
  return r < 0 ? (int)r : 0;
}

int op_setns(struct context *c, const struct operation *op) {
  int fd = slot_get(c, op->number[0]);
  if (fd < 0) return fd;
  /* A namespace that another process shares the file system attributes with cannot be left for another. */
  if (op->number[1] & CLONE_NEWNS) SYS(unshare, CLONE_FS);
  resolve_new_root();
  return (int)tried(c, "setns", "", SYS(setns, fd, op->number[1]));
}

int op_unshare(struct context *c, const struct operation *op) {
  return (int)tried(c, "unshare", "", SYS(unshare, op->number[0]));
}

/* A new time namespace is only entered by children or by setns; offsets must be written before that. */
int op_time(struct context *c, const struct operation *op) {
  const char *offsets = op->string;
  long r = tried(c, "unshare", "time namespace", SYS(unshare, CLONE_NEWTIME));
  if (r < 0) return (int)r;
  if (*offsets) {
    const char *path = "/proc/self/timens_offsets";
    long fd = tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
    if (fd < 0) return (int)fd;
    r = tried(c, "write", path, SYS(write, fd, offsets, strlen(offsets)));
    SYS(close, fd);
    if (r < 0) return (int)r;
  }
  const char *path = "/proc/self/ns/time_for_children";
  long fd = tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return (int)fd;
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

/*
 * A process enters a pid namespace only by being born in it. The child's memory is a copy of this small program,
 * never of the owner's; it is made a child of the owner itself, so that the owner learns of its end.
 */
int op_fork(struct context *c, const struct operation *op) {
  int pidfd = -1;
  struct clone_args args = {
      .flags = CLONE_PARENT | CLONE_PIDFD | op->number[0],
      .pidfd = (u64)(usize)&pidfd,
  };
  /* A cgroup namespace shows the cgroup that it was made in as its root; the program itself lives one below. */
  if (op->number[1] != PLAN_NONE) {
    int cgroup = slot_get(c, op->number[1]);
    if (cgroup < 0) return cgroup;
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (u64)cgroup;
  }
  long pid = tried(c, "clone3", "", SYS(clone3, &args, sizeof args));
  if (pid < 0) return (int)pid;
  if (pid == 0) return 0;
  struct message message = {.type = MESSAGE_PROCESS, .value = (u32)pid};
  control_send(c, &message, &pidfd, 1);
  quit(0);
}

/* After the id maps are written: take uid and gid 0 of the new user namespace. */
int op_become_root(struct context *c, const struct operation *op) {
  if (!op->number[0]) {
    long r = tried(c, "setgroups", "", SYS(setgroups, 0, NULL));
    if (r < 0) return (int)r;
  }
  long r = tried(c, "setresgid", "0", SYS(setresgid, 0, 0, 0));
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
