/*
 * The plan that the init program reads, and all that it reads besides: messages, /etc/passwd and /etc/group of an image.
 * Every system call gets an answer out of the input: an error, a descriptor, or bytes. Nothing real is called.
 *
 * Input: a byte that says how long the plan is in 1/256 of the rest, the plan, and the answers.
 */
#include "init/context.h"

#include <linux/mman.h>
#include <linux/stat.h>
#include <setjmp.h>

extern void *malloc(usize size);
extern void free(void *memory);
extern void abort(void);

static jmp_buf over;
static const u8 *answers, *answers_end;
static u32 calls;
static void *taken[512]; /* from memory() */
static u32 taken_count;
static u8 *plan_bytes;
static usize plan_size;

enum { CALLS_MAX = 20000, NEW_FD = 100 };
/* S_IFREG and so on, which the kernel's header leaves to the C library. */
enum { FILE_TYPE = 0100000, DIRECTORY_TYPE = 0040000, LINK_TYPE = 0120000 };

static u8 answer(void) { return answers < answers_end ? *answers++ : 0; }

static usize fill(void *to, usize size) {
  usize left = (usize)(answers_end - answers), count = left < size ? left : size;
  u8 *bytes = to;
  for (usize i = 0; i < count; i++) bytes[i] = answers[i];
  answers += count;
  return count;
}

static void *take(usize size) {
  if (taken_count == sizeof taken / sizeof *taken || size > 64u << 20) return NULL;
  u8 *memory = malloc(size ? size : 1);
  for (usize i = 0; i < size; i++) memory[i] = 0;
  return taken[taken_count++] = memory;
}

struct vector {
  void *base;
  usize length;
};
struct header {
  void *name;
  int name_length;
  struct vector *vectors;
  usize vector_count;
  struct {
    usize length;
    int level, type, fd[64];
  } *control;
  usize control_length;
  u32 flags;
};

static long receive(struct header *header) {
  struct vector *vector = header->vectors;
  u8 kind = answer(), fds = answer() % 65;
  if (kind == 0) return 0;
  usize length = fill(vector->base, vector->length);
  /* Packets of other forms may be of any size. */
  int plain = vector->length == sizeof(struct message);
  if (plain) ((struct message *)vector->base)->type = kind & 1 ? MESSAGE_GO : kind;
  if (header->control && fds) {
    header->control->length = 16 + fds * sizeof(int);
    header->control->type = 1;
    for (u8 i = 0; i < fds; i++) header->control->fd[i] = NEW_FD + i;
    header->control_length = header->control->length;
  } else {
    header->control_length = 0;
  }
  return plain ? (long)sizeof(struct message) : (long)length;
}

long fuzz_call(long number, long a, long b, long c, long d, long e, long f) {
  (void)a, (void)e, (void)f;
  if (++calls > CALLS_MAX || number == __NR_exit_group) longjmp(over, 1);
  if (number == __NR_mmap) {
    if (!(d & MAP_ANONYMOUS)) return (long)plan_bytes;
    void *memory = take((usize)b);
    return memory ? (long)memory : -E_NOMEM;
  }
  u8 how = answer();
  if (how >= 0xf0) return -(long)(1 + answer() % 120);
  switch (number) {
    case __NR_statx: {
      struct statx *status = (struct statx *)e;
      status->stx_mode = (u16)(how & 1 ? FILE_TYPE : how & 2 ? DIRECTORY_TYPE : LINK_TYPE);
      status->stx_size = plan_size;
      return 0;
    }
    case __NR_read:
      return (long)fill((void *)b, (usize)c);
    case __NR_getcwd:
    case __NR_readlinkat: {
      char *to = (char *)(number == __NR_getcwd ? a : c);
      usize size = (usize)(number == __NR_getcwd ? b : d), length = fill(to, size ? size - 1 : 0);
      if (number == __NR_getcwd && size) to[length] = 0;
      return (long)length;
    }
    case __NR_recvmsg:
      return receive((struct header *)b);
    case __NR_recvfrom:
      return (long)fill((void *)b, (usize)c);
    case __NR_pipe2:
      ((int *)a)[0] = NEW_FD, ((int *)a)[1] = NEW_FD + 1;
      return 0;
    case __NR_clone3:
      return how & 1; /* both go on in turn */
    case __NR_rt_sigtimedwait:
      return 17;
    case __NR_wait4:
      if (b) *(int *)b = how;
      return -E_CHILD;
    case __NR_getdents64:
      return 0;
    case __NR_capget:
    case __NR_close:
      return 0;
    case __NR_openat:
    case __NR_openat2:
    case __NR_open_tree:
    case __NR_fsopen:
    case __NR_fsmount:
    case __NR_socket:
    case __NR_landlock_create_ruleset:
      return NEW_FD + how % 16;
    default:
      return how & 0x40 ? how : 0;
  }
}

/* Most plans are whole, so that their operations are reached: records get sizes and texts that fit. */
static void put_right(struct plan_header *header) {
  u8 *at = (u8 *)(header + 1);
  usize left = header->size - sizeof *header;
  header->count = 0;
  header->inherited %= 32;
  while (left >= sizeof(struct plan_record) + 8) {
    struct plan_record *record = (struct plan_record *)at;
    usize body = record->size % 512 / 8 * 8 + 8;
    if (body > left - sizeof *record) body = (left - sizeof *record) / 8 * 8;
    record->code %= PLAN_OP_COUNT;
    record->size = (u32)(sizeof *record + body);
    record->strings %= 8;
    record->blob = record->blob % 64 < body ? record->blob % 64 : 0;
    usize texts = body - record->blob;
    if (record->strings > texts) record->strings = (u32)texts;
    for (u32 i = 1; i <= record->strings; i++) at[sizeof *record + texts * i / record->strings - 1] = 0;
    for (u32 i = 0; i < PLAN_NUMBERS; i++)
      if (record->flags & 0x100u << i) record->number[i] %= 64;
    at += record->size;
    left -= record->size;
    header->count++;
  }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize size) {
  static struct context c;
  if (size < 1 + sizeof(struct plan_header)) return 0;
  plan_size = sizeof(struct plan_header) + (size - 1 - sizeof(struct plan_header)) * data[0] / 256;
  /* No longer than it is, so that a read beyond its end is noticed. */
  plan_bytes = malloc(plan_size);
  for (usize i = 0; i < plan_size; i++) plan_bytes[i] = data[1 + i];
  answers = data + 1 + plan_size;
  answers_end = data + size;
  struct plan_header *header = (struct plan_header *)plan_bytes;
  header->magic = PLAN_MAGIC;
  header->version = PLAN_VERSION;
  header->size = (u32)plan_size;
  if (data[0] & 7) put_right(header);
  calls = taken_count = 0;
  if (setjmp(over) == 0) {
    memset(&c, 0, sizeof c);
    c.control = PLAN_FD_CONTROL;
    c.empty_dir = c.self = -1;
    for (u32 i = 0; i < PLAN_SLOTS; i++) c.slot[i] = -1;
    if (plan_open(&c, PLAN_FD_PLAN) == 0) {
      for (u32 i = 0; i < c.plan->inherited; i++) c.slot[i] = PLAN_FD_FIRST + (int)i;
      int r = plan_perform(&c);
      fail(&c, r < 0 ? -r : E_PROTO);
    }
  }
  for (u32 i = 0; i < taken_count; i++) free(taken[i]);
  free(plan_bytes);
  /* What follows makes calls as well, and must not come back here. */
  calls = 0;
  answers = answers_end;
  resolve_new_root();
  return 0;
}
