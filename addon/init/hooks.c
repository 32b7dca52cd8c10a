/* OCI hooks that run inside the container's namespaces (createContainer, startContainer). */
#include "context.h"

#include <linux/poll.h>
#include <linux/wait.h>

static _Noreturn void run_hook(const struct operation *op, int input) {
  u32 arguments = (u32)op->number[1], total = op->strings - 3;
  const char **list = memory((total + 2) * sizeof *list);
  if (!list) quit(125);
  const char *text = op_text(op, 3), **environment = list + arguments + 1;
  for (u32 i = 0; i < total; i++) {
    list[i < arguments ? i : i + 1] = text;
    text += strlen(text) + 1;
  }
  SYS(dup3, input, 0, 0);
  SYS(close_range, 3, ~0u, 0);
  SYS(execve, op_text(op, 2), list, environment);
  quit(127);
}

/* Writes the state to the hook; how much it reads is its own affair. */
static void feed(int fd, const char *before, u64 pid, const char *after) {
  char number[24];
  usize length = text_number(number, pid);
  SYS(write, fd, before, strlen(before));
  SYS(write, fd, number, length);
  SYS(write, fd, after, strlen(after));
}

/* The pid that a hook sees is the one that the owner sees; SYNC brought it. */
int op_hook(struct context *c, const struct operation *op) {
  enum { WAIT_PIDFD = 3, EXITED = 4 };
  const char *path = op_text(op, 2);
  if (op->number[1] > op->strings - 3) return (int)tried(c, "plan", "hook", -E_PROTO);
  int pipe[2], pidfd = -1;
  int r = (int)tried(c, "pipe2", path, SYS(pipe2, pipe, O_CLOEXEC));
  if (r < 0) return r;
  long pid = process_make(c, path, 0, 17, &pidfd, -1, NULL);
  if (pid < 0) return (int)pid;
  if (pid == 0) run_hook(op, pipe[0]);
  SYS(close, pipe[0]);
  feed(pipe[1], op_text(op, 0), c->plan->pid, op_text(op, 1));
  SYS(close, pipe[1]);

  struct pollfd poll = {.fd = pidfd, .events = POLLIN};
  struct {
    i64 seconds, nanoseconds;
  } limit = {(i64)(op->number[0] / 1000), (i64)(op->number[0] % 1000) * 1000000};
  r = (int)SYS(ppoll, &poll, 1, op->number[0] ? &limit : NULL, NULL, 0);
  int status[32] = {0}; /* siginfo_t: si_code at 2, si_status at 6 (after pid and uid) */
  if (r <= 0) {
    SYS(pidfd_send_signal, pidfd, 9, NULL, 0);
    SYS(waitid, WAIT_PIDFD, pidfd, status, EXITED, NULL);
    SYS(close, pidfd);
    return (int)tried(c, "hook", path, r == 0 ? -E_TIMEDOUT : r);
  }
  SYS(waitid, WAIT_PIDFD, pidfd, status, EXITED, NULL);
  SYS(close, pidfd);
  enum { CLD_EXITED_CODE = 1 };
  if (status[2] == CLD_EXITED_CODE && status[6] == 0) return 0;
  return (int)tried(c, status[6] == 127 ? "execve" : "hook", path, -E_CANCELED);
}
