/*
 * inject CONTROL COMMAND...: runs a command, and lets one system call of the init programs that it starts fail. Nothing
 * else is slowed down: threads of the command are not looked at, programs in containers are let go when they start.
 */
#define _GNU_SOURCE
#include "control.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTIONS = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                 PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL };
enum { TASKS_MAX = 4096 };

struct task {
  pid_t pid;
  int known;   /* whose child it is; until then it waits */
  int waits;
  int is_init; /* it is the init program, whose calls count */
  int fails;   /* the call that it is in was taken away, and returns an error */
};

static struct task tasks[TASKS_MAX];

static struct task *task(pid_t pid) {
  struct task *free = NULL;
  for (int i = 0; i < TASKS_MAX; i++) {
    if (tasks[i].pid == pid) return &tasks[i];
    if (!tasks[i].pid && !free) free = &tasks[i];
  }
  if (!free) abort();
  *free = (struct task){.pid = pid};
  return free;
}

static int runs_init(pid_t pid) {
  char path[64], exe[64] = "", line[64] = "";
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  if (readlink(path, exe, sizeof exe - 1) < 0 || strncmp(exe, "/memfd:caisson-init", 19) != 0) return 0;
  snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = read(fd, line, sizeof line - 1);
  close(fd);
  return size > 0 && strcmp(line + strlen(line) + 1, "run") == 0; /* not the watchdog */
}

/* No system call has this number: the kernel does nothing, and the result is set when it returns. */
static void take_away(pid_t pid) {
#if defined(__x86_64__)
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
#else
  int none = -1;
  struct iovec vector = {&none, sizeof none};
  ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &vector);
#endif
}

static void set_result(pid_t pid, long result) {
#if defined(__x86_64__)
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result);
#else
  struct user_regs_struct registers;
  struct iovec vector = {&registers, sizeof registers};
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector);
  registers.regs[0] = (unsigned long)result;
  ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &vector);
#endif
}

static void at_call(struct control *control, struct task *of) {
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, of->pid, sizeof info, &info) <= 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_EXIT && of->fails) {
    of->fails = 0;
    set_result(of->pid, -(long)control->error);
  }
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !control->armed || info.entry.nr == SYS_exit_group) return;
  uint32_t number = control_count(control);
  if (number <= CALLS_MAX) snprintf(control->name[number - 1], NAME_SIZE, "%lu", (unsigned long)info.entry.nr);
  if (number != control->at) return;
  control->failed = 1;
  of->fails = 1;
  take_away(of->pid);
}

static void resume(struct task *of, int signal) {
  ptrace(of->is_init ? PTRACE_SYSCALL : PTRACE_CONT, of->pid, 0, signal);
}

static void at_stop(struct control *control, pid_t pid, int status, pid_t command) {
  struct task *of = task(pid);
  int event = status >> 16, signal = WSTOPSIG(status), deliver = 0;
  if (!of->known) {
    of->waits = 1;
    return;
  }
  if (event == PTRACE_EVENT_EXEC && pid != command) {
    of->is_init = runs_init(pid);
    if (!of->is_init) {
      of->pid = 0;
      ptrace(PTRACE_DETACH, pid, 0, 0);
      return;
    }
  } else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
    unsigned long born = 0;
    ptrace(PTRACE_GETEVENTMSG, pid, 0, &born);
    struct task *child = born ? task((pid_t)born) : NULL;
    if (child) {
      child->is_init = of->is_init;
      child->known = 1;
      if (child->waits) resume(child, 0);
      child->waits = 0;
    }
  } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
    ptrace(PTRACE_LISTEN, pid, 0, 0); /* stopped by a signal: it stays so */
    return;
  } else if (signal == (SIGTRAP | 0x80)) {
    at_call(control, of);
  } else if (!event) {
    deliver = signal;
  }
  resume(of, deliver);
}

int main(int count, char **arguments) {
  struct control *control = count > 2 ? control_map(arguments[1]) : NULL;
  int ready[2];
  if (!control || pipe2(ready, O_CLOEXEC) < 0) return perror("inject"), 125;
  pid_t command = fork();
  if (command == 0) {
    char byte;
    if (read(ready[0], &byte, 1) == 1) execvp(arguments[2], arguments + 2);
    _exit(125);
  }
  if (ptrace(PTRACE_SEIZE, command, 0, OPTIONS) < 0 || write(ready[1], "", 1) != 1) return perror("inject"), 125;
  task(command)->known = 1;
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return 125;
    if (WIFSTOPPED(status)) {
      at_stop(control, pid, status, command);
      continue;
    }
    task(pid)->pid = 0;
    if (pid == command) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}
