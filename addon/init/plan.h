/*
 * The plan: what the init program does, in order.
 *
 * TypeScript lowers a container to a list of records, the addon hands them over in a sealed-size memory file, and
 * the init program carries them out one by one. The names below are the single definition; the addon exports
 * them to TypeScript.
 *
 * Layout (native endian, every record a multiple of 8 bytes):
 *   plan_header, then `count` times: plan_record, its strings (each ends with NUL), its blob, padding.
 */
#pragma once

#ifdef __cplusplus
#include <cstdint>
extern "C" {
#else
#include <stdint.h>
#endif

#define PLAN_MAGIC 0x43534e50u
#define PLAN_VERSION 1u
#define PLAN_NUMBERS 4
/* File descriptors that records name by a small number; the inherited ones come first. */
#define PLAN_SLOTS 192
/* Where the inherited descriptors lie when the program starts. */
#define PLAN_FD_CONTROL 3
#define PLAN_FD_PLAN 4
#define PLAN_FD_FIRST 5
/* No slot. */
#define PLAN_NONE 0xffffffffu

/*
 *      name            numbers                                 strings                       blob
 */
#define PLAN_OPS(OP)                                                                                          \
  OP(CGROUP_JOIN)   /* slot, 1: only open it             | path of a cgroup v1 `tasks` file, or empty  */ \
  OP(SETNS)         /* slot, namespace flags                 |                                             */ \
  OP(UNSHARE)       /* namespace flags                       |                                             */ \
  OP(TIME)          /* -                                     | timens_offsets text, may be empty           */ \
  OP(SYNC)          /* kind, first slot for fds, 1: announce |                                             */ \
  OP(FORK)          /* namespace flags, slot of a v2 cgroup, 1: attend, 2: guard, who tells the owner |             */ \
  OP(BECOME_ROOT)   /* 1: setgroups is denied, 2: perhaps    |                                             */ \
  OP(UNDUMPABLE)    /*                                       |                                             */ \
  OP(PROPAGATION)   /* mount flags                           | path, empty: /                              */ \
  OP(TREE)          /* slot, propagation, attr set, idmap slot | path                                      */ \
  OP(FILESYSTEM)    /* slot, mount attributes                | type, then key and value alternately        */ \
  OP(OVERLAY)       /* slot, mount attributes, owner to work as | staging, upper, work, options, lower...     */ \
  OP(COPY)          /* bytes more that may be written, 0: any | target, mark or empty, layers, the topmost first */ \
  OP(ROOT)          /* slot, 1: is mounted there already     | staging directory                           */ \
  OP(CHROOT)        /*                                       | path                                        */ \
  OP(ATTACH)        /* slot, base slot                       | path                                        */ \
  OP(SETATTR)       /* attributes to set, to clear, propagation | path                                     */ \
  OP(MASK)          /* slot of /dev's tmpfs, of an empty directory | path                                        */ \
  OP(READONLY)      /*                                       | path                                        */ \
  OP(DIRECTORY)     /* base slot, mode, uid << 32 | gid      | path                                        */ \
  OP(NODE)          /* base slot, mode, device, owner        | path                                        */ \
  OP(SYMLINK)       /* base slot                             | target, path                                */ \
  OP(FILE)          /* base slot, mode, uid << 32 | gid      | path                          | content     */ \
  OP(SYSCTL)        /* proc slot                             | path below /proc/sys, value                 */ \
  OP(HOSTNAME)      /*                                       | host name, domain name or empty             */ \
  OP(LOOPBACK)      /*                                       |                                             */ \
  OP(SOCKET)        /* domain, type, protocol                |                                             */ \
  OP(RLIMIT)        /* resource, soft, hard, 1: only raise the hard one |                                  */ \
  OP(CONSOLE)       /* devpts slot, /dev slot, columns << 16 | rows |                                      */ \
  OP(OOM_SCORE)     /*                                       | value                                       */ \
  OP(SCHEDULER)     /* policy, nice, priority, flags         |                                             */ \
  OP(IO_PRIORITY)   /* value                                 |                                             */ \
  OP(AFFINITY)      /*                                       |                               | CPU mask    */ \
  OP(PERSONALITY)   /* persona                               |                                             */ \
  OP(KEYRING)       /*                                       |                                             */ \
  OP(HOOK)          /* timeout ms, argument count            | state before pid, state after pid, path, args, env */ \
  OP(USER)          /* uid << 32 | gid, 1: by number only    | user or empty, more groups...               */ \
  OP(WORKDIR)       /*                                       | path                                        */ \
  OP(REAPER)        /* 1: its owner may look into it         |                                             */ \
  OP(BOUNDING)      /* capability mask to keep               |                                             */ \
  OP(CREDENTIALS)   /* umask, 1: groups stay if they must    |                                             */ \
  OP(CAPABILITIES)  /* effective, permitted, inheritable, ambient |                                        */ \
  OP(NO_NEW_PRIVS)  /*                                       |                                             */ \
  OP(LANDLOCK)      /* TCP rights to handle, scopes, 1: must be had | paths...                | rights, ports */ \
  OP(SECCOMP)       /* filter flags                          |                               | BPF program */ \
  OP(PARENT_DEATH)  /*                                       |                                             */ \
  OP(OPEN)          /* slot, type of file system to insist on | directory                                  */ \
  OP(PROBE)         /* enum plan_probe                       |                                             */ \
  OP(HOLD)          /* 1: kept as root of its user namespace |                                             */ \
  OP(WAIT)          /* first slot for fds, slot to close     | paths to look up...                         */ \
  OP(AGENT)         /* -                                     | - (agent.h)                                 */ \
  OP(EXEC)          /* argument count, inherited descriptors to keep | args, env                                   */

enum plan_op {
#define PLAN_ENUM(name) PLAN_##name,
  PLAN_OPS(PLAN_ENUM)
#undef PLAN_ENUM
      PLAN_OP_COUNT
};

/* Flags of records; each is used by the operations named. */
enum plan_flag {
  PLAN_RECURSIVE = 1,    /* TREE, SETATTR */
  PLAN_NO_SYMLINKS = 2,  /* ATTACH, MASK, READONLY, LANDLOCK: no symbolic link anywhere in the path */
  PLAN_CREATE = 4,       /* ATTACH, WORKDIR: make what is missing */
  PLAN_OPTIONAL = 8,     /* skip when the path does not exist; LANDLOCK: those that do not; SOCKET: kinds */
  PLAN_EXCLUSIVE = 16,   /* FILE: must not exist */
  PLAN_TOP = 32,         /* TREE: the attributes are for the topmost mount only */
  PLAN_STAY = 64,        /* FILE: no symbolic link on the way leads to another mount */
};

/* Kinds of SYNC. */
enum plan_sync {
  PLAN_SYNC_MAPS = 1,  /* of an errand: the owner writes the id maps, then answers */
  PLAN_SYNC_HOOKS = 2, /* the owner runs hooks, then answers */
  PLAN_SYNC_STEPS = 3, /* not announced: the owner answers when its late steps are done */
};

/* Who tells the owner of the process that FORK made. */
enum plan_teller {
  PLAN_TELL_BEFORE = 0, /* the one that makes it, before that goes on */
  PLAN_TELL_NOBODY = 1, /* it will be followed by another, and its cgroup leads to it */
  PLAN_TELL_ITSELF = 2, /* it is the program of who attends; its pid is in the message's credentials (unix(7)) */
};

/* System calls that PROBE makes in a way that changes nothing; the answer is a MESSAGE_PROBED. */
#define PLAN_PROBES(PROBE)                                                     \
  PROBE(clone3) PROBE(pidfd_open) PROBE(pidfd_send_signal) PROBE(openat2)      \
  PROBE(open_tree) PROBE(move_mount) PROBE(fsopen) PROBE(mount_setattr)        \
  PROBE(close_range) PROBE(execveat) PROBE(memfd_create) PROBE(pivot_root)     \
  PROBE(seccomp) PROBE(landlock_create_ruleset)

enum plan_probe {
#define PLAN_PROBE_ENUM(name) PLAN_PROBE_##name,
  PLAN_PROBES(PLAN_PROBE_ENUM)
#undef PLAN_PROBE_ENUM
      PLAN_PROBE_COUNT
};

struct plan_header {
  uint32_t magic;
  uint32_t version;
  uint32_t size; /* of the whole plan, bytes */
  uint32_t count;
  uint32_t inherited; /* descriptors from PLAN_FD_FIRST on, put in slots 0.. */
  uint32_t progress;  /* written by the init program: the record it works on, PLAN_EXECUTED after the last */
  uint32_t pid;       /* of the process, as the owner sees it; written by the owner before it answers a SYNC */
  uint32_t child;     /* written by the kernel when FORK has made the next child of the owner, before that is told of */
  uint64_t begun;     /* written by the init program: when the program was about to be executed, CLOCK_MONOTONIC in ns */
};

#define PLAN_EXECUTED 0xfffffffeu
/* Of a plan for one that waits, as long as that has not begun with it. */
#define PLAN_UNTOUCHED 0xffffffffu

struct plan_record {
  uint16_t code;
  uint16_t flags;
  uint32_t size; /* with this header */
  uint32_t strings;
  uint32_t blob; /* bytes after the last string */
  uint64_t number[PLAN_NUMBERS];
};

/* What travels over the control socket, one message a packet. */
enum message_type {
  MESSAGE_FAILED = 1, /* to the owner: an operation failed, the program ends */
  MESSAGE_SYNC,       /* to the owner: value = kind; answered by MESSAGE_GO */
  MESSAGE_PROCESS,    /* to the owner: value = pid, with a pidfd: the process to watch from now on */
  MESSAGE_CHILD,      /* to the owner: value = pid or 0: the sender, with a pidfd: the program; who is watched ends as it does */
  MESSAGE_CONSOLE,    /* to the owner, with the master side of the terminal */
  MESSAGE_READY,      /* to the owner: waiting in WAIT or HOLD */
  MESSAGE_GO,         /* from the owner: value = pid as the owner sees it; may carry fds */
  MESSAGE_REPLY,      /* to the owner: answer of the file agent, may carry one fd */
  MESSAGE_SOCKET,     /* to the owner, with the socket, or error = why there is none */
  MESSAGE_PROBED,     /* to the owner: error = 0 when the call is there, value = what it returned */
};

struct message {
  uint32_t type;
  int32_t error; /* errno, positive */
  uint32_t record;
  uint32_t value;
  char syscall[24];
  char detail[216];
};

#ifdef __cplusplus
}
#endif
