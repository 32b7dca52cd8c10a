/* The file by which a test tells what is to fail, and learns what was called. test/faults/control.mjs reads it. */
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { CALLS_MAX = 4096, NAME_SIZE = 24 };

struct control {
  uint32_t armed; /* calls are counted */
  uint32_t at;    /* the one that fails, from 1 on; 0: none */
  uint32_t error; /* errno that it fails with */
  uint32_t seen;  /* calls so far */
  uint32_t failed;
  uint32_t unused[3];
  char name[CALLS_MAX][NAME_SIZE]; /* of each call: a number of the kernel, or the function of the C library */
};

static inline struct control *control_map(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return NULL;
  void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? NULL : at;
}

/* Counts one more call; its number, from 1 on. */
static inline uint32_t control_count(struct control *control) {
  return __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
}
