/* Reads a plan and carries it out: all of it in the init program, the mounts alone in the owner (core/room_steps.c). */
#include "context.h"

#include <linux/mman.h>
#include <linux/stat.h>
#include <linux/time.h>

/* How many strings an operation must at least have; the rest need none. */
static const u8 strings_needed[PLAN_OP_COUNT] = {
    [PLAN_CGROUP_JOIN] = 1, [PLAN_TIME] = 1,     [PLAN_PROPAGATION] = 1, [PLAN_TREE] = 1,
    [PLAN_FILESYSTEM] = 1,  [PLAN_OVERLAY] = 5,  [PLAN_ROOT] = 1,        [PLAN_CHROOT] = 1,
    [PLAN_ATTACH] = 1,      [PLAN_SETATTR] = 1,  [PLAN_MASK] = 1,        [PLAN_READONLY] = 1,
    [PLAN_DIRECTORY] = 1,   [PLAN_NODE] = 1,     [PLAN_SYMLINK] = 2,     [PLAN_FILE] = 1,
    [PLAN_SYSCTL] = 2,      [PLAN_HOSTNAME] = 2, [PLAN_OOM_SCORE] = 1,   [PLAN_HOOK] = 3,
    [PLAN_USER] = 1,        [PLAN_WORKDIR] = 1,  [PLAN_EXEC] = 1,        [PLAN_OPEN] = 1,
    [PLAN_COPY] = 3,
};

const char *op_text(const struct operation *op, u32 index) {
  const char *text = op->string;
  while (index--) text += strlen(text) + 1;
  return text;
}

long tried(struct context *c, const char *syscall, const char *detail, long result) {
  if (result < 0) {
    c->syscall = syscall;
    text_copy(c->detail, sizeof c->detail, detail ? detail : "");
  }
  return result;
}

int slot_get(struct context *c, u64 slot) {
  if (slot >= PLAN_SLOTS || c->slot[slot] < 0) return (int)tried(c, "plan", "empty slot", -E_INVAL);
  return c->slot[slot];
}

int slot_set(struct context *c, u64 slot, int fd) {
  if (slot >= PLAN_SLOTS) return (int)tried(c, "plan", "slot", -E_INVAL);
  close_fd(c->slot[slot]);
  c->slot[slot] = fd;
  return 0;
}

/* Maps the plan shared, so that the owner sees how far it came. */
int plan_open(struct context *c, int fd) {
  struct statx status;
  long r = tried(c, "statx", "plan", SYS(statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &status));
  if (r < 0) return (int)r;
  u64 size = status.stx_size;
  if (size < sizeof(struct plan_header) || size > 64u << 20)
    return (int)tried(c, "plan", "size", -E_PROTO);
  r = tried(c, "mmap", "plan", SYS(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  if (r < 0 && r > -4096) return (int)r;
  struct plan_header *plan = (struct plan_header *)r;
  if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION || plan->size != size ||
      plan->inherited > PLAN_SLOTS)
    return (int)tried(c, "plan", "header", -E_PROTO);
  c->plan = plan;
  SYS(close, fd);
  return 0;
}

void plan_begins(struct context *c) {
  u64 now[2]; /* struct timespec */
  if (c->plan->begun || SYS(clock_gettime, CLOCK_MONOTONIC, now) < 0) return;
  c->plan->begun = now[0] * 1000000000 + now[1];
}

/* Takes one record apart; every length is checked against what is left. */
static int plan_record(struct operation *op, const u8 *at, usize left) {
  const struct plan_record *record = (const struct plan_record *)at;
  if (left < sizeof *record || record->size < sizeof *record || record->size > left ||
      record->size % 8 || record->code >= PLAN_OP_COUNT)
    return -E_PROTO;
  const char *text = (const char *)(record + 1), *end = (const char *)at + record->size;
  op->string = text;
  for (u32 i = 0; i < record->strings; i++) {
    while (text < end && *text) text++;
    if (text == end) return -E_PROTO;
    text++;
  }
  if (record->blob > (usize)(end - text) || record->strings < strings_needed[record->code])
    return -E_PROTO;
  op->code = record->code;
  op->flags = record->flags;
  op->strings = record->strings;
  op->blob = text;
  op->blob_size = record->blob;
  memcpy(op->number, record->number, sizeof op->number);
  return (int)record->size;
}

/* Returns only with an error, or 0 when the plan ends without EXEC. */
int plan_perform(struct context *c) {
  struct plan_header *plan = c->plan;
  const u8 *at = (const u8 *)(plan + 1);
  usize left = plan->size - sizeof *plan;
  for (u32 i = 0; i < plan->count; i++) {
    struct operation op;
    c->record = i;
    plan->progress = i;
    int size = plan_record(&op, at, left);
    if (size < 0) return (int)tried(c, "plan", "record", size);
    if (!plan_operators[op.code]) return (int)tried(c, "plan", "operation", -E_PROTO);
    int r = plan_operators[op.code](c, &op);
    if (r < 0) return r;
    if (c->plan != plan) return plan_perform(c); /* WAIT brought the next one */
    at += size;
    left -= (usize)size;
  }
  return 0;
}
