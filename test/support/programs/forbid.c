/*
 * forbid LIST COMMAND...: executes a command under a filter of system calls, as an outer sandbox has one. LIST: calls
 * with commas between them; `NAME=ERROR` gives another error than EPERM, `clone:FLAGS` forbids calls with one of the flags
 * alone, and `unshare:!FLAGS` those with none of them.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct name {
  const char *text;
  int number;
};
#define NAME(call) {#call, SYS_##call}

static const struct name calls[] = {
    NAME(clone),      NAME(clone3),     NAME(unshare),       NAME(setns),
    NAME(mount),      NAME(umount2),    NAME(pivot_root),    NAME(fsopen),
    NAME(open_tree),  NAME(move_mount), NAME(mount_setattr), NAME(landlock_create_ruleset),
    NAME(memfd_create),
};

static int number_of(const char *text) {
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (strcmp(calls[i].text, text) == 0) return calls[i].number;
  fprintf(stderr, "forbid: %s is not known\n", text);
  exit(125);
}

static unsigned error_of(const char *text) {
  if (text == NULL || strcmp(text, "EPERM") == 0) return EPERM;
  if (strcmp(text, "ENOSYS") == 0) return ENOSYS;
  fprintf(stderr, "forbid: %s is not known\n", text);
  exit(125);
}

int main(int count, char **arguments) {
  struct sock_filter filter[256];
  unsigned short length = 0;
  if (count < 3) return 125;
#define ADD(...) filter[length++] = (struct sock_filter)__VA_ARGS__
  for (char *word = strtok(arguments[1], ","); word != NULL; word = strtok(NULL, ",")) {
    char *error = strchr(word, '='), *flags = strchr(word, ':');
    if (error != NULL) *error++ = 0;
    if (flags != NULL) *flags++ = 0;
    unsigned char rest = flags != NULL ? 3 : 1;
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number_of(word), 0, rest));
    if (flags != NULL) {
      ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)));
      int without = *flags == '!';
      unsigned value = (unsigned)strtoul(flags + without, NULL, 0);
      ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, value, without ? 1 : 0, without ? 0 : 1));
    }
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_of(error)));
  }
  ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  struct sock_fprog program = {length, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
    perror("forbid: seccomp");
    return 125;
  }
  execvp(arguments[2], arguments + 2);
  perror(arguments[2]);
  return 127;
}
