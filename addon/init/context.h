/* What the operations share, and how they fail. */
#pragma once

#include "plan.h"
#include "sys.h"

#define GROUPS_MAX 64

struct context {
  int control; /* the socket to the owner; -1 once it must not be used any more */
  struct plan_header *plan;
  u32 record; /* the one being carried out */
  int slot[PLAN_SLOTS];

  const char *syscall; /* of the last failure */
  char detail[216];    /* the path or name it was about */

  u32 uid, gid;
  u32 group[GROUPS_MAX];
  u32 groups;
  char home[256];
  int terminal;  /* 0, 1, 2 are a terminal of ours */
  int empty_dir; /* mount of an empty directory, shared by all masks; -1 until the first */
  int as_pid1;   /* this process is the PID 1 of the container and not its child */
  int self;      /* our /proc/self, kept when another mount namespace is entered; -1: by its path */
  int scoped;    /* in a Landlock domain that signals do not leave */
  int no_groups; /* the user namespace denies setgroups */
};

/* One record, checked and taken apart. */
struct operation {
  u16 code, flags;
  u64 number[PLAN_NUMBERS];
  const char *string; /* the first of `strings`, each ends with NUL */
  u32 strings;
  const void *blob;
  u32 blob_size;
};

typedef int (*operator_function)(struct context *, const struct operation *);

/* Text number `index` of an operation; the caller checked that it is there. */
const char *op_text(const struct operation *op, u32 index);

/*
 * Remembers what failed: `result` is passed through, and when it is an error the system call and the object are
 * kept for the report. Every system call of an operation that may fail is wrapped in this.
 */
long tried(struct context *c, const char *syscall, const char *detail, long result);

static inline u32 owner_uid(u64 both) { return (u32)(both >> 32); }
static inline u32 owner_gid(u64 both) { return (u32)both; }

/* A descriptor from a slot, or -E_INVAL when the plan names an empty one. */
int slot_get(struct context *c, u64 slot);
/* Stores; closes what was there. */
int slot_set(struct context *c, u64 slot, int fd);

/* plan.c */
int plan_open(struct context *c, int fd);
/* Notes the time for the owner, once for each plan. A filter of the caller's might forbid that: so it comes before. */
void plan_begins(struct context *c);
int plan_perform(struct context *c);
/* By code; NULL for what this program does not do. */
extern const operator_function plan_operators[PLAN_OP_COUNT];

/* control.c */
_Noreturn void fail(struct context *c, int error);
int control_send(struct context *c, const struct message *message, const int *fds, u32 count);
/* Returns the number of fds received (at most `limit`), or a negative errno; E_CONNRESET when the owner is gone. */
int control_receive(struct context *c, struct message *message, int *fds, u32 limit);
int control_owner_gone(struct context *c);
/* The same for packets of other forms; the size received, 0 at the end. One descriptor at most goes with a packet. */
int control_send_bytes(struct context *c, const void *bytes, usize size, int fd);
int control_receive_bytes(struct context *c, void *bytes, usize size, int *fd);

/* resolve.c: paths inside a root that may be hostile */
/* Of linux/openat2.h. */
#define RESOLVE_NO_XDEV_FLAG 0x01
#define RESOLVE_NO_SYMLINKS_FLAG 0x04
int resolve_open(int base, const char *path, u64 flags, u64 mode, u64 resolve);
/* Makes the directories above (and, when `leaf`, at) a path; no component may be a dangling link. */
int resolve_make(struct context *c, int base, const char *path, u32 mode, int leaf);
/* Where something is to be made: the directory, made where it is missing, and the last component. */
struct place {
  int directory;
  int borrowed; /* the directory is the base itself */
  const char *name;
};
int resolve_place(struct context *c, int base, const char *path, struct place *place);
static inline void place_end(struct place *place) {
  if (!place->borrowed) close_fd(place->directory);
}
/* After pivot_root, chroot, or entering another mount namespace. */
void resolve_new_root(void);

/* What getdents64(2) gives; the next one lies `length` bytes on. */
struct entry {
  u64 inode;
  i64 next;
  u16 length;
  u8 type;
  char name[];
};

/* remove.c: by descriptors from top to bottom, never through a link; 0, or a negative errno */
int remove_tree(int above, const char *name);

/* users.c */
int users_lookup(struct context *c, const char *spec, u32 uid, u32 gid);
int users_add_group(struct context *c, const char *name);

/* clone.c */
long process_make(struct context *c, const char *what, u64 flags, u64 exit_signal, int *pidfd, int cgroup,
                  u32 *number);

/* confine.c: no right over files, none by execution, and no system call but these. Before the capabilities are dropped. */
void confine(const u16 *calls, u32 count);

/* reap.c: waits for the process that FORK made, and ends as it does */
_Noreturn void attend(struct context *c, long child);
/* Likewise, and with the child everything ends that it has started, at the latest with the owner. */
_Noreturn void guard(struct context *c, long child);

/* The operations, by file. */
int op_cgroup_join(struct context *, const struct operation *);
int op_setns(struct context *, const struct operation *);
int op_unshare(struct context *, const struct operation *);
int op_time(struct context *, const struct operation *);
int op_sync(struct context *, const struct operation *);
int op_fork(struct context *, const struct operation *);
int op_become_root(struct context *, const struct operation *);
int op_undumpable(struct context *, const struct operation *);
int op_hostname(struct context *, const struct operation *);
int op_loopback(struct context *, const struct operation *);
int op_socket(struct context *, const struct operation *);

int op_propagation(struct context *, const struct operation *);
int op_tree(struct context *, const struct operation *);
int op_filesystem(struct context *, const struct operation *);
int op_overlay(struct context *, const struct operation *);
int op_copy(struct context *, const struct operation *);
int op_root(struct context *, const struct operation *);
int op_chroot(struct context *, const struct operation *);
int op_attach(struct context *, const struct operation *);
int op_setattr(struct context *, const struct operation *);
int op_mask(struct context *, const struct operation *);
int op_readonly(struct context *, const struct operation *);

int op_directory(struct context *, const struct operation *);
int op_node(struct context *, const struct operation *);
int op_symlink(struct context *, const struct operation *);
int op_file(struct context *, const struct operation *);
int op_sysctl(struct context *, const struct operation *);

int op_console(struct context *, const struct operation *);
int op_hook(struct context *, const struct operation *);

int op_rlimit(struct context *, const struct operation *);
int op_oom_score(struct context *, const struct operation *);
int op_scheduler(struct context *, const struct operation *);
int op_io_priority(struct context *, const struct operation *);
int op_affinity(struct context *, const struct operation *);
int op_personality(struct context *, const struct operation *);

int op_keyring(struct context *, const struct operation *);
int op_user(struct context *, const struct operation *);
int op_bounding(struct context *, const struct operation *);
int op_credentials(struct context *, const struct operation *);
int op_capabilities(struct context *, const struct operation *);
int op_no_new_privs(struct context *, const struct operation *);
int op_landlock(struct context *, const struct operation *);
int op_seccomp(struct context *, const struct operation *);
int op_parent_death(struct context *, const struct operation *);

int op_open(struct context *, const struct operation *);
int op_agent(struct context *, const struct operation *);
int op_probe(struct context *, const struct operation *);
int op_hold(struct context *, const struct operation *);
int op_workdir(struct context *, const struct operation *);
int op_reaper(struct context *, const struct operation *);
int op_wait(struct context *, const struct operation *);
int op_exec(struct context *, const struct operation *);
