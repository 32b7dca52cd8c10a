/*
 * Makes system calls and prints what each answered: a line "NUMBER ERRNO" each, 0 for success, and "-" instead where
 * no answer came: the call ended the process, or did not return for a second.
 *
 *   syscalls FIRST-LAST     all six arguments are ~0: no pointer, no descriptor, every flag
 *   syscalls NUMBER:ARG     the first is ARG, the others are 0
 *   syscalls i386           a call by the gate of 32-bit programs; x86_64 only
 *
 * Each runs in a process of its own.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Without a function around it: after vfork the new process must not return from one. */
static inline __attribute__((always_inline)) long call(long number, unsigned long first, unsigned long rest) {
#if defined(__x86_64__)
  long result;
  register unsigned long r10 __asm__("r10") = rest;
  register unsigned long r8 __asm__("r8") = rest;
  register unsigned long r9 __asm__("r9") = rest;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(rest), "d"(rest), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register unsigned long x0 __asm__("x0") = first;
  register unsigned long x1 __asm__("x1") = rest;
  register unsigned long x2 __asm__("x2") = rest;
  register unsigned long x3 __asm__("x3") = rest;
  register unsigned long x4 __asm__("x4") = rest;
  register unsigned long x5 __asm__("x5") = rest;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return (long)x0;
#endif
}

static int makes_process(long number) {
#ifdef SYS_fork
  if (number == SYS_fork || number == SYS_vfork) return 1;
#endif
  return number == SYS_clone;
}

static void try(long number, unsigned long first, unsigned long rest) {
  int ends[2];
  if (pipe(ends) != 0) exit(2);
  pid_t child = fork();
  if (child < 0) exit(3);
  if (child == 0) {
    long result = call(number, first, rest);
    if (result == 0 && makes_process(number)) call(SYS_exit_group, 0, 0);
    int error = result < 0 && result > -4096 ? (int)-result : 0;
    if (write(ends[1], &error, sizeof error) != sizeof error) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  int error;
  struct pollfd wait = {.fd = ends[0], .events = POLLIN};
  if (poll(&wait, 1, 1000) == 1 && read(ends[0], &error, sizeof error) == sizeof error)
    printf("%ld %d\n", number, error);
  else
    printf("%ld -\n", number);
  close(ends[0]);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

int main(int count, char **list) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  for (int i = 1; i < count; i++) {
    char *at;
#ifdef __x86_64__
    if (strcmp(list[i], "i386") == 0) {
      enum { I386_GETPID = 20 };
      long result;
      __asm__ volatile("int $0x80" : "=a"(result) : "a"(I386_GETPID) : "memory");
      printf("i386 %ld\n", result);
      continue;
    }
#endif
    long number = strtol(list[i], &at, 0);
    if (*at == ':') {
      try(number, strtoul(at + 1, NULL, 0), 0);
    } else {
      long last = *at == '-' ? strtol(at + 1, NULL, 0) : number;
      for (; number <= last; number++) {
        fflush(stdout); /* or the children would have it too */
        try(number, ~0ul, ~0ul);
      }
    }
    fflush(stdout);
  }
  return 0;
}
