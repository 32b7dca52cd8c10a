/*
 * The system-call layer of the init program.
 *
 * The init program is linked without a C library: it is executed inside half-made containers, where the
 * smallest possible amount of code should run, and it starts faster that way. Every wrapper returns what the
 * kernel returns: a result, or a negative errno.
 */
#pragma once

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t i32;
typedef uint64_t u64;
typedef int64_t i64;
typedef size_t usize;

#if defined(__x86_64__)

static inline long sys_call(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

static inline long sys_call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}

#else
#error "caisson knows the system calls of x86_64 and aarch64"
#endif

/* SYS(openat, fd, path, flags): missing arguments are zero. */
#define SYS_PAD(number, a, b, c, d, e, f, ...) \
  sys_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(name, ...) SYS_PAD(__NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* The few errnos that the program itself decides on; the rest are passed through. */
enum {
  E_PERM = 1,
  E_NOENT = 2,
  E_INTR = 4,
  E_IO = 5,
  E_NXIO = 6,
  E_2BIG = 7,
  E_NOEXEC = 8,
  E_CHILD = 10,
  E_AGAIN = 11,
  E_NOMEM = 12,
  E_ACCES = 13,
  E_EXIST = 17,
  E_XDEV = 18,
  E_NOTDIR = 20,
  E_ISDIR = 21,
  E_INVAL = 22,
  E_FBIG = 27,
  E_ROFS = 30,
  E_RANGE = 34,
  E_NAMETOOLONG = 36,
  E_NOSYS = 38,
  E_LOOP = 40,
  E_PROTO = 71,
  E_OPNOTSUPP = 95,
  E_CONNRESET = 104,
  E_TIMEDOUT = 110,
  E_CANCELED = 125,
};

void *memcpy(void *to, const void *from, usize size);
void *memset(void *to, int byte, usize size);
int memcmp(const void *a, const void *b, usize size);
usize strlen(const char *text);

int text_equal(const char *a, const char *b);
int text_starts(const char *text, const char *prefix);
/* Copies what fits, always ends with NUL. */
void text_copy(char *to, usize size, const char *from);
/* Writes the decimal form of a number; returns its length (no NUL). */
usize text_number(char *to, u64 number);
/* Reads a decimal number that fills the whole text; negative when it is not one or exceeds `limit`. */
i64 text_parse(const char *text, u64 limit);

/* Anonymous memory, zeroed; never freed: the program is short-lived. NULL when there is none. */
void *memory(usize size);

_Noreturn static inline void quit(int code) {
  for (;;) SYS(exit_group, code);
}

static inline void close_fd(int fd) {
  if (fd >= 0) SYS(close, fd);
}
