/* Included before every source of the init program: its system calls go to the fuzzer, which answers as it likes. */
#pragma once

/* Names of the C library, which the init program has its own of. */
#define memcpy init_memcpy
#define memset init_memset
#define memcmp init_memcmp
#define strlen init_strlen

#include "init/sys.h"

long fuzz_call(long number, long a, long b, long c, long d, long e, long f);

#undef SYS_PAD
#define SYS_PAD(number, a, b, c, d, e, f, ...) \
  fuzz_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
