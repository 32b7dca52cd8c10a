/* The last steps: where the program runs, and its execution. */
#include "context.h"

#include <linux/close_range.h>
#include <linux/stat.h>
#include <asm/ioctls.h>

/*
 * Opened as a descriptor without magic links (CVE-2024-21626: /proc/self/fd/N led out), then checked: a directory
 * that is not below our root has no name that begins with '/'.
 */
int op_workdir(struct context *c, const struct operation *op) {
  const char *path = op->string;
  char where[4096];
  int fd = resolve_open(-1, path, O_PATH | O_DIRECTORY, 0, 0);
  if (fd == -E_NOENT && op->flags & PLAN_CREATE) {
    fd = resolve_make(c, -1, path, 0755, 1);
    if (fd < 0) return fd;
  }
  if (fd < 0) return (int)tried(c, "openat2", path, fd);
  int r = (int)tried(c, "fchdir", path, SYS(fchdir, fd));
  SYS(close, fd);
  if (r < 0) return r;
  r = (int)tried(c, "getcwd", path, SYS(getcwd, where, sizeof where));
  if (r >= 0 && where[0] != '/') r = (int)tried(c, "getcwd", path, -E_NOENT);
  return r < 0 ? r : 0;
}

static int path_missing(int error) {
  return error == -E_NOENT || error == -E_NOTDIR || error == -E_NAMETOOLONG;
}

/* As execvp does: a permission problem is remembered, and the search goes on. */
static int search(const char *name, const char **arguments, const char **environment) {
  const char *paths = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char full[4096];
  int result = -E_NOENT;
  for (const char **e = environment; *e; e++)
    if (text_starts(*e, "PATH=")) paths = *e + 5;
  usize name_length = strlen(name);
  for (const char *at = paths;; at++) {
    usize length = 0;
    while (at[length] && at[length] != ':') length++;
    if (length + name_length + 2 <= sizeof full) {
      memcpy(full, at, length);
      full[length] = '/';
      memcpy(full + length + (length != 0), name, name_length + 1);
      int r = (int)SYS(execve, full, arguments, environment);
      if (!path_missing(r)) {
        /* A directory gives EACCES too; only report it when nothing better follows. */
        if (r != -E_ACCES) return r;
        result = r;
      }
    }
    at += length;
    if (!*at) return result;
  }
}

int op_exec(struct context *c, const struct operation *op) {
  u32 arguments = (u32)op->number[0];
  if (!arguments || arguments > op->strings) return (int)tried(c, "plan", "exec", -E_PROTO);
  const char **list = memory((op->strings + 3) * sizeof *list);
  if (!list) return (int)tried(c, "mmap", "arguments", -E_NOMEM);
  const char **environment = list + arguments + 1, *text = op->string;
  u32 variables = op->strings - arguments;
  int has_home = 0;
  for (u32 i = 0; i < op->strings; i++) {
    list[i < arguments ? i : i + 1] = text;
    if (i >= arguments && text_starts(text, "HOME=")) has_home = 1;
    text += strlen(text) + 1;
  }
  char home[sizeof c->home + 5];
  if (!has_home) {
    text_copy(home, sizeof home, "HOME=");
    text_copy(home + 5, sizeof home - 5, c->home);
    environment[variables] = home;
  }

  SYS(setsid);
  if (c->terminal) {
    int r = (int)tried(c, "ioctl", "TIOCSCTTY", SYS(ioctl, 0, TIOCSCTTY, 0));
    if (r < 0) return r;
  }
  /* Nothing but 0, 1 and 2 passes on, whoever opened it and however; a program of our own may be given more. */
  u64 kept = op->number[1], first = kept ? PLAN_FD_FIRST : 3;
  int r = kept ? (int)tried(c, "close_range", "", SYS(close_range, 3, PLAN_FD_FIRST - 1, CLOSE_RANGE_CLOEXEC)) : 0;
  if (r >= 0) r = (int)tried(c, "close_range", "", SYS(close_range, first + kept, ~0u, CLOSE_RANGE_CLOEXEC));
  if (r < 0) return r;
  u64 none = 0;
  SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof none);
  /* Node ignores SIGPIPE, and execve keeps that; a program in a pipe would never end. All zeros: SIG_DFL. */
  static const u64 standard[4];
  r = (int)tried(c, "rt_sigaction", "SIGPIPE", SYS(rt_sigaction, 13 /* SIGPIPE */, standard, NULL, sizeof none));
  if (r < 0) return r;

  plan_begins(c);
  c->plan->progress = PLAN_EXECUTED;
  const char *name = list[0];
  int slash = 0;
  for (const char *at = name; *at; at++) slash |= *at == '/';
  r = slash   ? (int)SYS(execve, name, list, environment)
      : *name ? search(name, list, environment)
              : -E_NOENT;
  c->plan->progress = c->record;
  return (int)tried(c, "execve", name, r);
}

/* Parked: everything but the program itself is ready. The owner sends the rest as a new plan. */
int op_wait(struct context *c, const struct operation *op) {
  struct message message = {.type = MESSAGE_READY};
  int fds[32];
  /* What will be needed of a file system that nobody has used yet, the kernel finds faster the second time. */
  for (u32 i = 0; i < op->strings; i++) close_fd(resolve_open(-1, op_text(op, i), O_PATH, 0, 0));
  /* A mount that is nowhere attached goes with its descriptor, which the program would wait for. */
  if (op->number[1] != PLAN_NONE) slot_set(c, op->number[1], -1);
  int r = (int)tried(c, "sendmsg", "ready", control_send(c, &message, NULL, 0));
  if (r < 0) return r;
  int count = control_receive(c, &message, fds, 32);
  if (count == -E_CONNRESET) quit(0); /* not needed any more, or the owner is gone */
  if (count < 0) return (int)tried(c, "recvmsg", "start", count);
  /* The plan alone: this process has its streams already. */
  if (message.type != MESSAGE_GO || (count != 1 && count < 4)) return (int)tried(c, "recvmsg", "start", -E_PROTO);
  for (int fd = 0; fd < 3 && count > 1; fd++) {
    r = (int)tried(c, "dup3", "stdio", SYS(dup3, fds[1 + fd], fd, 0));
    if (r < 0) return r;
    SYS(close, fds[1 + fd]);
  }
  for (int i = 4; i < count; i++) {
    r = slot_set(c, op->number[0] + (u64)(i - 4), fds[i]);
    if (r < 0) return r;
  }
  return plan_open(c, fds[0]);
}
