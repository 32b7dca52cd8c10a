/* Included before every source of the init program: its system calls go to the fuzzer, which answers as it likes. */
#pragma once

/* Names of the C library, which the init program has its own of. */
#define memcpy init_memcpy
#define memset init_memset
#define memcmp init_memcmp
#define strlen init_strlen

/* What this header does with the real kernel is done below once more, with the fuzzer. */
#define quit real_quit
#define close_fd real_close_fd
#include "init/sys.h"
#undef quit
#undef close_fd

long fuzz_call(long number, long a, long b, long c, long d, long e, long f);

#undef SYS_PAD
#define SYS_PAD(number, a, b, c, d, e, f, ...) \
  fuzz_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

_Noreturn static inline void quit(int code) {
  for (;;) SYS(exit_group, code);
}

static inline void close_fd(int fd) {
  if (fd >= 0) SYS(close, fd);
}
