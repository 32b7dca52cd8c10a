/*
 * The agent: the init program staying in a container's root as a servant of the owner, for reading and writing files
 * there. Everything is resolved inside the root by the kernel, whatever the guest does meanwhile, and what is opened
 * comes back as a descriptor.
 *
 * Another one stays in the network namespace that an ordinary user's networks are in, and makes sockets there.
 *
 * One packet a request, one a reply, in order.
 */
#pragma once

#ifdef __cplusplus
#include <cstdint>
extern "C" {
#else
#include <stdint.h>
#endif

#define AGENT_OPS(OP)                                                                    \
  OP(OPEN)      /* flags, mode | path            -> a descriptor of a file or directory */ \
  OP(ROOT)      /*             |                 -> a descriptor of the root           */ \
  OP(LAYERS)    /*             |                 -> the same, without what is mounted in it */ \
  OP(MKDIR)     /* mode, 1: with parents | path                                        */ \
  OP(REMOVE)    /* 1: recursively, 2: missing is fine | path                           */ \
  OP(RENAME)    /*             | from, to                                              */ \
  OP(SYMLINK)   /*             | target, path                                          */ \
  OP(CHMOD)     /* mode        | path                                                  */ \
  OP(CHOWN)     /* uid, gid, 1: the link itself | path                                 */ \
  OP(STAT)      /* 1: the link itself | path     -> number[0..]: see agent_stat        */ \
  OP(READLINK)  /*             | path            -> text                               */ \
  OP(UTIMES)    /* access ns, modification ns | path                                   */ \
  OP(SOCKET)    /* domain, type, protocol        -> a socket of this network namespace */ \
  OP(VISIT)     /* 1: the network namespace that came along, 0: back home              */ \
  OP(SETTING)   /*             | path, value     of the network namespace, below /proc/sys */

enum agent_op {
#define AGENT_ENUM(name) AGENT_##name,
  AGENT_OPS(AGENT_ENUM)
#undef AGENT_ENUM
      AGENT_OP_COUNT
};

/* Order of the numbers in the reply to STAT. */
enum agent_stat {
  AGENT_STAT_MODE,
  AGENT_STAT_SIZE,
  AGENT_STAT_UID,
  AGENT_STAT_GID,
  AGENT_STAT_NLINK,
  AGENT_STAT_INO,
  AGENT_STAT_DEV,
  AGENT_STAT_RDEV,
  AGENT_STAT_BLOCKS,
  AGENT_STAT_BLKSIZE,
  AGENT_STAT_ATIME, /* nanoseconds since 1970 */
  AGENT_STAT_MTIME,
  AGENT_STAT_CTIME,
  AGENT_STAT_BTIME,
  AGENT_STAT_COUNT
};

#define AGENT_PATH_MAX 4096

struct agent_request {
  uint32_t op;
  uint32_t lengths[2]; /* of the two paths in `text`, without their NULs */
  uint32_t unused;
  uint64_t number[3];
  char text[2 * AGENT_PATH_MAX];
};

struct agent_reply {
  int32_t error; /* errno, positive; 0: done */
  uint32_t length;
  uint64_t number[AGENT_STAT_COUNT];
  char text[AGENT_PATH_MAX];
};

#ifdef __cplusplus
}
#endif
