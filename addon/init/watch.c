/*
 * The watchdog: one small process beside the owner. It sleeps until the owner ends, by whatever cause, then kills what
 * is left in the owner's cgroups and removes them. A hostile PID 1 can clear its parent-death signal; it cannot leave
 * its cgroup.
 *
 * What to remove is text, a line each: `cgroup PATH`, `links PATH`, `tree PATH` or `file PATH`, in this order. Processes that are in
 * no cgroup are kept by descriptors, which come by the socket while they live.
 */
#include "context.h"
#include "links.h"

#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/stat.h>

struct directory_entry {
  u64 inode;
  i64 next;
  u16 length;
  u8 type;
  char name[];
};

enum { DEPTH_MAX = 32, ATTEMPTS = 1000, TYPE_DIRECTORY = 4 };

static void write_file(int directory, const char *name, const char *text) {
  long fd = SYS(openat, directory, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  SYS(write, fd, text, strlen(text));
  SYS(close, fd);
}

enum { SIGNAL_KILL = 9, BATCH = 64 };

/* A list of process ids, while it is read. */
struct members {
  long fd, at, filled;
  char buffer[4096];
};

static int members_open(struct members *list, int directory) {
  list->at = list->filled = 0;
  list->fd = SYS(openat, directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  return list->fd >= 0;
}

/* The next one; 0 at the end. */
static i64 members_next(struct members *list) {
  i64 pid = 0;
  for (;;) {
    if (list->at == list->filled) {
      list->at = list->filled = 0;
      long n = SYS(read, list->fd, list->buffer, sizeof list->buffer);
      if (n <= 0) return pid;
      list->filled = n;
    }
    char digit = list->buffer[list->at++];
    if (digit >= '0' && digit <= '9')
      pid = pid * 10 + (digit - '0');
    else if (pid > 0)
      return pid;
  }
}

/*
 * Kills the members that cgroup.procs lists. Without cgroup.kill (v1, or before Linux 5.14) only this is left. A number
 * may be somebody else's by now: whom a descriptor was opened for is killed when the list, read after that, still has it.
 */
static void kill_members(int directory) {
  struct members list, again;
  i64 number[BATCH], pid;
  int held[BATCH];
  u32 count;
  if (!members_open(&list, directory)) return;
  do {
    for (count = 0; count < BATCH && (pid = members_next(&list)) > 0;) {
      long fd = SYS(pidfd_open, pid, 0);
      if (fd < 0) continue;
      number[count] = pid;
      held[count++] = (int)fd;
    }
    if (count && members_open(&again, directory)) {
      while ((pid = members_next(&again)) > 0)
        for (u32 i = 0; i < count; i++)
          if (number[i] == pid) SYS(pidfd_send_signal, held[i], SIGNAL_KILL, NULL, 0);
      SYS(close, again.fd);
    }
    for (u32 i = 0; i < count; i++) SYS(close, held[i]);
  } while (count == BATCH);
  SYS(close, list.fd);
}

/* Calls itself for every subdirectory, then removes `directory` by name from `above`. 0 when it is gone. */
static int clear(int above, const char *name, int depth) {
  char buffer[4096];
  long directory = SYS(openat, above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n;
  if (directory < 0) return directory == -E_NOENT ? 0 : -1;
  write_file((int)directory, "cgroup.kill", "1");
  kill_members((int)directory);
  /* A frozen task of cgroup v1 ignores SIGKILL until it is thawed. */
  write_file((int)directory, "freezer.state", "THAWED");
  while (depth < DEPTH_MAX && (n = SYS(getdents64, directory, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < n;) {
      struct directory_entry *entry = (struct directory_entry *)(buffer + at);
      at += entry->length;
      if (entry->type != TYPE_DIRECTORY || text_equal(entry->name, ".") || text_equal(entry->name, ".."))
        continue;
      clear((int)directory, entry->name, depth + 1);
    }
  SYS(close, directory);
  long r = SYS(unlinkat, above, name, 0x200 /* AT_REMOVEDIR */);
  return r == 0 || r == -E_NOENT ? 0 : -1;
}

static void pause_ms(i64 milliseconds) {
  struct {
    i64 seconds, nanoseconds;
  } time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  SYS(nanosleep, &time, NULL);
}

enum { GUARDED_MAX = 65536 };

struct guarded {
  u32 count;
  struct pollfd poll[GUARDED_MAX];
};

static long poll_now(struct pollfd *poll, u32 count) {
  i64 none[2] = {0, 0};
  return SYS(ppoll, poll, count, none, NULL, 0);
}

/* Those that have ended are let go. */
static void prune(struct guarded *all) {
  u32 kept = 0;
  if (poll_now(all->poll, all->count) <= 0) return;
  for (u32 i = 0; i < all->count; i++)
    if (all->poll[i].revents)
      SYS(close, all->poll[i].fd);
    else
      all->poll[kept++] = all->poll[i];
  all->count = kept;
}

/* One more, if there is one; 0 when the owner has closed the socket. */
static int take(struct context *c, struct guarded *all) {
  struct message message;
  int fd, count = control_receive(c, &message, &fd, 1);
  if (count != 1) return count >= 0;
  prune(all);
  if (all->count == GUARDED_MAX) SYS(close, all->poll[0].fd), all->poll[0] = all->poll[--all->count];
  all->poll[all->count].fd = fd;
  all->poll[all->count++].events = POLLIN;
  return 1;
}

_Noreturn void watch(void) {
  struct statx status;
  u64 signals = ~0ull;
  SYS(rt_sigprocmask, 0, &signals, NULL, sizeof signals);
  SYS(prctl, PR_SET_NAME, "caisson-watch", 0, 0, 0);
  SYS(setsid);
  SYS(chdir, "/");
  if (SYS(statx, 4, "", AT_EMPTY_PATH, STATX_SIZE, &status) < 0) quit(125);
  usize size = status.stx_size;
  char *list = memory(size + 1);
  if (!list || SYS(pread64, 4, list, size, 0) != (long)size) quit(125);
  SYS(close, 4);
  for (usize i = 0; i < size; i++)
    if (list[i] == '\n') list[i] = 0;

  struct {
    u64 soft, hard;
  } files;
  if (SYS(prlimit64, 0, 7 /* RLIMIT_NOFILE */, NULL, &files) == 0) {
    files.soft = files.hard;
    SYS(prlimit64, 0, 7, &files, NULL);
  }
  static struct context c = {.control = 5};
  struct guarded *all = memory(sizeof *all);
  if (!all) quit(125);
  struct pollfd poll[2] = {{.fd = 3, .events = POLLIN}, {.fd = c.control, .events = POLLIN}};
  while (!(poll[0].revents & POLLIN)) {
    if (SYS(ppoll, poll, 2, NULL, NULL, 0) < 0) continue;
    if (poll[1].revents && !take(&c, all)) poll[1].fd = -1;
  }
  while (poll[1].fd >= 0 && poll_now(poll + 1, 1) > 0 && take(&c, all)) continue;
  for (u32 i = 0; i < all->count; i++) {
    SYS(pidfd_send_signal, all->poll[i].fd, SIGNAL_KILL, NULL, 0);
    SYS(close, all->poll[i].fd);
  }

  int left = 1;
  for (int attempt = 0; left && attempt < ATTEMPTS; attempt++) {
    left = 0;
    for (usize at = 0; at < size; at += strlen(list + at) + 1)
      if (text_starts(list + at, "cgroup ") && clear(AT_FDCWD, list + at + 7, 0) != 0) left = 1;
    /* All are killed; that the kernel has cleared them away is nothing that bridges have to wait for. */
    for (usize at = 0; attempt == 0 && at < size; at += strlen(list + at) + 1)
      if (text_starts(list + at, "links ")) remove_links(list + at + 6);
    if (left) pause_ms(attempt < 50 ? 2 : 20);
  }
  /* Which cgroups there were is written down in these files: whoever starts next reads it, and tries again. */
  if (left) quit(1);
  for (usize at = 0; at < size; at += strlen(list + at) + 1) {
    if (text_starts(list + at, "tree ")) remove_tree(AT_FDCWD, list + at + 5);
    if (text_starts(list + at, "file ")) SYS(unlinkat, AT_FDCWD, list + at + 5, 0);
  }
  quit(0);
}
