/* Carries out requests of agent.h. A guest may rename, replace and link below us at any time. */
#include "agent.h"

#include "context.h"

#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

static struct agent_request request;
static struct agent_reply reply;
static int self_fds = -1; /* /proc/self/fd of the owner's procfs, opened before the guest's root was entered */

static i64 mode_of(int fd) {
  struct statx status;
  long r = SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &status);
  return r < 0 ? r : status.stx_mode & S_IFMT;
}

/* The same file with other flags, through its descriptor: the name may be another file's by now. */
static int reopen(int fd, u64 flags) {
  char number[24];
  number[text_number(number, (u64)fd)] = 0;
  return (int)SYS(openat, self_fds, number, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static i64 is_of_proc(int fd) {
  struct statfs status;
  i64 r = SYS(fstatfs, fd, &status);
  return r < 0 ? r : (u64)status.f_type == PROC_SUPER_MAGIC;
}

/*
 * What a file of /proc lets be done depends on who does it: by a link to one, a guest would have the owner raise its
 * priority, keep it from the OOM killer or read the kernel's log for it. Whoever means one names it.
 */
static int find_to_open(const char *path, u64 nofollow) {
  int found = resolve_open(-1, path, O_PATH | nofollow, 0, 0);
  i64 kernels = found < 0 ? 0 : is_of_proc(found);
  if (kernels == 0) return found;
  SYS(close, found);
  return kernels < 0 ? (int)kernels : resolve_open(-1, path, O_PATH | nofollow, 0, RESOLVE_NO_SYMLINKS);
}

/*
 * Only regular files and directories are ever opened for reading or writing: a device or FIFO that the guest made is
 * looked at by O_PATH alone, because opening one has effects, and this process may open what the guest may not.
 */
static int open_file(const char *path, u64 flags, u64 mode) {
  u64 create = flags & (O_CREAT | O_EXCL);
  if (create & O_CREAT) {
    int made = resolve_open(-1, path, (flags & ~(u64)O_TRUNC) | O_CREAT | O_EXCL, mode & 07777, 0);
    if (made != -E_EXIST || create & O_EXCL) {
      if (made >= 0) SYS(fchmod, made, mode & 07777); /* our umask is 0, but ACLs may say otherwise */
      return made;
    }
  }
  u64 nofollow = flags & O_NOFOLLOW;
  int found = find_to_open(path, nofollow);
  if (found < 0) return found;
  i64 type = mode_of(found);
  int result = type < 0                                  ? (int)type
               : type == S_IFLNK                         ? -E_LOOP
               : type != S_IFREG && type != S_IFDIR      ? -E_OPNOTSUPP
               : flags & O_DIRECTORY && type != S_IFDIR  ? -E_NOTDIR
                                                         : reopen(found, flags & ~(create | nofollow));
  SYS(close, found);
  return result;
}

/*
 * The name keeps the slashes behind it: mkdirat and its like, which follow no link at the end, take them for what they
 * mean, a directory.
 */
static int parent_of(const char *path, struct place *place) {
  usize cut = strlen(path);
  char above[AGENT_PATH_MAX];
  while (cut && path[cut - 1] == '/') cut--;
  usize end = cut;
  while (cut && path[cut - 1] != '/') cut--;
  place->name = path + cut;
  place->borrowed = 0;
  usize length = end - cut;
  if (!length || (place->name[0] == '.' && (length == 1 || (length == 2 && place->name[1] == '.')))) return -E_INVAL;
  memcpy(above, path, cut);
  above[cut] = 0;
  return place->directory = resolve_open(-1, cut ? above : "/", O_PATH | O_DIRECTORY, 0, 0);
}

/* With a slash behind it only a directory is removed, and never what a link leads to. */
static int remove_whole(const struct place *place) {
  char name[AGENT_PATH_MAX];
  usize length = strlen(place->name), end = length;
  while (place->name[end - 1] == '/') end--;
  if (end == length) return remove_tree(place->directory, place->name);
  memcpy(name, place->name, end);
  name[end] = 0;
  int found = (int)SYS(openat, place->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  i64 type = found < 0 ? found : mode_of(found);
  close_fd(found);
  return type < 0 ? (int)type : type == S_IFDIR ? remove_tree(place->directory, name) : -E_NOTDIR;
}

static int do_remove(const char *path, u64 options) {
  struct place place;
  int r = parent_of(path, &place);
  if (r >= 0) {
    if (options & 1) {
      r = remove_whole(&place);
    } else {
      // A directory is refused, as fs.rm() refuses it: who means one says so.
      r = (int)SYS(unlinkat, place.directory, place.name, 0);
    }
    place_end(&place);
  }
  return r == -E_NOENT && options & 2 ? 0 : r;
}

static int do_mkdir(struct context *c, const char *path, u64 mode, u64 parents) {
  struct place place;
  int r;
  if (parents) {
    r = resolve_make(c, -1, path, (u32)mode & 07777, 1);
    close_fd(r);
    return r < 0 ? r : 0;
  }
  r = parent_of(path, &place);
  if (r < 0) return r;
  r = (int)SYS(mkdirat, place.directory, place.name, mode & 07777);
  place_end(&place);
  return r;
}

static int do_rename(const char *from, const char *to) {
  struct place a, b;
  int r = parent_of(from, &a);
  if (r < 0) return r;
  r = parent_of(to, &b);
  if (r >= 0) {
    r = (int)SYS(renameat2, a.directory, a.name, b.directory, b.name, 0);
    place_end(&b);
  }
  place_end(&a);
  return r;
}

static int do_symlink(const char *target, const char *path) {
  struct place place;
  int r = parent_of(path, &place);
  if (r < 0) return r;
  r = (int)SYS(symlinkat, target, place.directory, place.name);
  place_end(&place);
  return r;
}

/* chmod has no form for an O_PATH descriptor before Linux 6.6; the magic link of our own procfs stands in. */
static int do_chmod(const char *path, u64 mode) {
  char number[24];
  int fd = resolve_open(-1, path, O_PATH, 0, 0);
  if (fd < 0) return fd;
  number[text_number(number, (u64)fd)] = 0;
  int r = (int)SYS(fchmodat, self_fds, number, mode & 07777);
  SYS(close, fd);
  return r;
}

static int do_chown(const char *path, u64 uid, u64 gid, u64 link) {
  int fd = resolve_open(-1, path, O_PATH | (link ? O_NOFOLLOW : 0), 0, 0);
  if (fd < 0) return fd;
  int r = (int)SYS(fchownat, fd, "", (u32)uid, (u32)gid, AT_EMPTY_PATH);
  SYS(close, fd);
  return r;
}

static u64 nanoseconds(struct statx_timestamp time) { return (u64)time.tv_sec * 1000000000u + time.tv_nsec; }

static int do_stat(const char *path, u64 link) {
  struct statx s;
  int fd = resolve_open(-1, path, O_PATH | (link ? O_NOFOLLOW : 0), 0, 0);
  if (fd < 0) return fd;
  int r = (int)SYS(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &s);
  SYS(close, fd);
  if (r < 0) return r;
  u64 *n = reply.number;
  n[AGENT_STAT_MODE] = s.stx_mode;
  n[AGENT_STAT_SIZE] = s.stx_size;
  n[AGENT_STAT_UID] = s.stx_uid;
  n[AGENT_STAT_GID] = s.stx_gid;
  n[AGENT_STAT_NLINK] = s.stx_nlink;
  n[AGENT_STAT_INO] = s.stx_ino;
  n[AGENT_STAT_DEV] = (u64)s.stx_dev_major << 32 | s.stx_dev_minor;
  n[AGENT_STAT_RDEV] = (u64)s.stx_rdev_major << 32 | s.stx_rdev_minor;
  n[AGENT_STAT_BLOCKS] = s.stx_blocks;
  n[AGENT_STAT_BLKSIZE] = s.stx_blksize;
  n[AGENT_STAT_ATIME] = nanoseconds(s.stx_atime);
  n[AGENT_STAT_MTIME] = nanoseconds(s.stx_mtime);
  n[AGENT_STAT_CTIME] = nanoseconds(s.stx_ctime);
  n[AGENT_STAT_BTIME] = nanoseconds(s.stx_btime);
  return 0;
}

static int do_readlink(const char *path) {
  int fd = resolve_open(-1, path, O_PATH | O_NOFOLLOW, 0, 0);
  if (fd < 0) return fd;
  int r = (int)SYS(readlinkat, fd, "", reply.text, sizeof reply.text);
  SYS(close, fd);
  if (r == -E_NOENT) r = -E_INVAL; /* what the kernel says of an O_PATH descriptor that is no link */
  if (r >= 0) reply.length = (u32)r;
  return r < 0 ? r : 0;
}

static int do_utimes(const char *path, u64 access, u64 modification) {
  struct {
    i64 seconds, nanoseconds;
  } times[2] = {{(i64)(access / 1000000000), (i64)(access % 1000000000)},
                {(i64)(modification / 1000000000), (i64)(modification % 1000000000)}};
  int fd = resolve_open(-1, path, O_PATH, 0, 0);
  if (fd < 0) return fd;
  int r = (int)SYS(utimensat, fd, "", times, AT_EMPTY_PATH);
  SYS(close, fd);
  return r;
}

/* Sockets and settings are those of the network namespace that the process is in. Not for an agent in a guest's root. */
static int visit(int netns) {
  enum { NEW_NETWORK = 0x40000000 };
  static int home = -1;
  if (home < 0) home = (int)SYS(openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  return home < 0 ? home : (int)SYS(setns, netns < 0 ? home : netns, NEW_NETWORK);
}

static int do_setting(const char *path, const char *value) {
  int fd = (int)SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  int r = (int)SYS(write, fd, value, strlen(value));
  SYS(close, fd);
  return r;
}

/* A descriptor to send back, or -1; the result goes into `error`. `came`: the one that came along, or -1. */
static int perform(struct context *c, int came, int *error) {
  const char *a = request.text, *b = request.text + request.lengths[0] + 1;
  u64 *n = request.number;
  int fd = -1, r = -E_NOSYS;
  switch (request.op) {
    case AGENT_OPEN:
      r = fd = open_file(a, n[0], n[1]);
      break;
    case AGENT_ROOT:
      r = fd = (int)SYS(openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      break;
    case AGENT_LAYERS:
      r = fd = (int)SYS(open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
      break;
    case AGENT_MKDIR:
      r = do_mkdir(c, a, n[0], n[1]);
      break;
    case AGENT_REMOVE:
      r = do_remove(a, n[0]);
      break;
    case AGENT_RENAME:
      r = do_rename(a, b);
      break;
    case AGENT_SYMLINK:
      r = do_symlink(a, b);
      break;
    case AGENT_CHMOD:
      r = do_chmod(a, n[0]);
      break;
    case AGENT_CHOWN:
      r = do_chown(a, n[0], n[1], n[2]);
      break;
    case AGENT_STAT:
      r = do_stat(a, n[0]);
      break;
    case AGENT_READLINK:
      r = do_readlink(a);
      break;
    case AGENT_UTIMES:
      r = do_utimes(a, n[0], n[1]);
      break;
    case AGENT_SOCKET:
      r = fd = (int)SYS(socket, n[0], n[1] | O_CLOEXEC, n[2]);
      break;
    case AGENT_VISIT:
      r = n[0] && came < 0 ? -E_INVAL : visit(n[0] ? came : -1);
      break;
    case AGENT_SETTING:
      r = do_setting(a, b);
      break;
  }
  *error = r < 0 ? -r : 0;
  return r < 0 ? -1 : fd;
}

static int well_formed(int size) {
  usize head = offsetof(struct agent_request, text), a = request.lengths[0], b = request.lengths[1];
  if (size < (int)head || a >= AGENT_PATH_MAX || b >= AGENT_PATH_MAX || head + a + b + 2 != (usize)size) return 0;
  return request.text[a] == 0 && request.text[a + 1 + b] == 0;
}

/* Called in two places of a plan: first, with the owner's /proc still there, then to serve. Ends with the owner. */
int op_agent(struct context *c, const struct operation *op) {
  if (op->flags & PLAN_OPTIONAL) {
    self_fds = (int)tried(c, "openat", "/proc/self/fd",
                          SYS(openat, AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return self_fds < 0 ? self_fds : 0;
  }
  struct message ready = {.type = MESSAGE_READY};
  int r = (int)tried(c, "sendmsg", "ready", control_send(c, &ready, NULL, 0));
  if (r < 0) return r;
  for (;;) {
    int came;
    int size = control_receive_bytes(c, &request, sizeof request, &came);
    if (size <= 0) quit(0);
    memset(&reply, 0, offsetof(struct agent_reply, text));
    int error = E_PROTO, fd = -1;
    if (well_formed(size)) fd = perform(c, came, &error);
    reply.error = error;
    r = control_send_bytes(c, &reply, offsetof(struct agent_reply, text) + reply.length, fd);
    close_fd(fd);
    close_fd(came);
    if (r < 0) quit(0);
  }
}
