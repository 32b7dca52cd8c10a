/*
 * The root of a container where overlay is not to be had: its layers copied into one directory, the lowest first, with
 * whiteouts applied (overlayfs.rst, "whiteouts and opaque directories").
 *
 * A layer's content is hostile, but it does not change meanwhile: it is walked by descriptors, and no link is followed.
 */
#include "context.h"

#include <asm/statfs.h>
#include <linux/mount.h>
#include <linux/stat.h>

enum { COPY_DEPTH = 256, NAMES_MAX = 4096, VALUE_MAX = 4096, LINK_MAX = 4096 };
enum { FROM_START = 0, NEXT_DATA = 3, NEXT_HOLE = 4 }; /* whence of lseek(2) */

static int copy_below(struct context *c, int from, int to, int depth);

static int says_yes(int fd, const char *name) {
  char value[2];
  return SYS(fgetxattr, fd, name, value, sizeof value) == 1 && value[0] == 'y';
}

/* Those of overlay itself are not the file's. What cannot be set here (set-id capabilities) has no meaning here. */
static void copy_attributes(int from, int to) {
  char names[NAMES_MAX], value[VALUE_MAX];
  long length = SYS(flistxattr, from, names, sizeof names);
  for (long at = 0; at < length; at += (long)strlen(names + at) + 1) {
    const char *name = names + at;
    if (text_starts(name, "trusted.overlay.") || text_starts(name, "user.overlay.")) continue;
    long size = SYS(fgetxattr, from, name, value, sizeof value);
    if (size >= 0) SYS(fsetxattr, to, name, value, size, 0);
  }
}

/* Owners that have no id here stay ours, as they would be nobody in an overlay. Ownership before the mode: it clears set-id bits. */
static int take_over(struct context *c, int directory, const char *name, const struct statx *status) {
  SYS(fchownat, directory, name, status->stx_uid, status->stx_gid, AT_SYMLINK_NOFOLLOW);
  struct {
    i64 seconds, nanoseconds;
  } times[2] = {{status->stx_atime.tv_sec, status->stx_atime.tv_nsec},
                {status->stx_mtime.tv_sec, status->stx_mtime.tv_nsec}};
  long r = 0;
  if ((status->stx_mode & S_IFMT) != S_IFLNK)
    r = tried(c, "fchmodat", name, SYS(fchmodat, directory, name, status->stx_mode & 07777));
  if (r >= 0) SYS(utimensat, directory, name, times, AT_SYMLINK_NOFOLLOW);
  return (int)r;
}

/* Holes stay holes: a small layer may have files of any size. */
static long copy_data(int source, int target, i64 size) {
  for (i64 at = 0; at < size;) {
    i64 data = SYS(lseek, source, at, NEXT_DATA);
    if (data == -E_NXIO) break;
    if (data < 0) data = at;
    i64 hole = SYS(lseek, source, data, NEXT_HOLE);
    if (hole < 0) hole = size;
    long n = SYS(lseek, target, data, FROM_START);
    for (at = data; n >= 0 && at < hole;) {
      n = SYS(sendfile, target, source, &at, hole - at);
      if (n == 0) n = -E_IO;
    }
    if (n < 0) return n;
  }
  return SYS(ftruncate, target, size);
}

static int copy_file(struct context *c, int source, int to, const char *name, i64 size) {
  int target = (int)tried(c, "openat", name,
                          SYS(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (target < 0) return target;
  long n = copy_data(source, target, size);
  if (n >= 0) copy_attributes(source, target);
  SYS(close, target);
  return (int)tried(c, "sendfile", name, n);
}

static int copy_directory(struct context *c, int source, int to, const char *name, int depth) {
  if (says_yes(source, "user.overlay.opaque") || says_yes(source, "trusted.overlay.opaque")) remove_tree(to, name);
  int r = (int)SYS(mkdirat, to, name, 0700);
  if (r < 0 && r != -E_EXIST) return (int)tried(c, "mkdirat", name, r);
  int target = (int)tried(c, "openat", name, SYS(openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (target < 0) return target;
  r = copy_below(c, source, target, depth + 1);
  if (r >= 0) copy_attributes(source, target);
  SYS(close, target);
  return r;
}

static int copy_link(struct context *c, int from, int to, const char *name) {
  char target[LINK_MAX];
  long length = tried(c, "readlinkat", name, SYS(readlinkat, from, name, target, sizeof target - 1));
  if (length < 0) return (int)length;
  target[length] = 0;
  return (int)tried(c, "symlinkat", name, SYS(symlinkat, target, to, name));
}

static int is_whiteout(const struct statx *status) {
  return (status->stx_mode & S_IFMT) == S_IFCHR && status->stx_rdev_major == 0 && status->stx_rdev_minor == 0;
}

static int copy_entry(struct context *c, int from, int to, const char *name, int depth) {
  struct statx status;
  int r = (int)tried(c, "statx", name, SYS(statx, from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status));
  if (r < 0) return r;
  u32 type = status.stx_mode & S_IFMT;
  if (is_whiteout(&status)) return remove_tree(to, name), 0;
  int source = -1;
  if (type == S_IFREG || type == S_IFDIR) {
    source = (int)tried(c, "openat", name, SYS(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (source < 0) return source;
  }
  char value;
  if (type == S_IFREG && !status.stx_size && SYS(fgetxattr, source, "user.overlay.whiteout", &value, 1) >= 0) {
    SYS(close, source);
    return remove_tree(to, name), 0;
  }
  /* A directory over a directory is merged with it; anything else takes the place of what a layer below has there. */
  struct statx below;
  if (SYS(statx, to, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &below) >= 0 &&
      (type != S_IFDIR || (below.stx_mode & S_IFMT) != S_IFDIR))
    remove_tree(to, name);
  if (type == S_IFREG) r = copy_file(c, source, to, name, (i64)status.stx_size);
  else if (type == S_IFDIR) r = copy_directory(c, source, to, name, depth);
  else if (type == S_IFLNK) r = copy_link(c, from, to, name);
  else if (type == S_IFIFO) r = (int)tried(c, "mknodat", name, SYS(mknodat, to, name, S_IFIFO | 0600, 0));
  else return 0; /* devices are the container's own; a socket is nobody's */
  close_fd(source);
  return r < 0 ? r : take_over(c, to, name, &status);
}

static int copy_below(struct context *c, int from, int to, int depth) {
  char buffer[2048];
  long n;
  if (depth == COPY_DEPTH) return (int)tried(c, "openat", "too deep", -E_LOOP);
  while ((n = SYS(getdents64, from, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < n;) {
      struct entry *entry = (struct entry *)(buffer + at);
      at += entry->length;
      if (text_equal(entry->name, ".") || text_equal(entry->name, "..")) continue;
      int r = copy_entry(c, from, to, entry->name, depth);
      if (r < 0) return r;
    }
  return n < 0 ? (int)tried(c, "getdents64", "", n) : 0;
}

/* What the image takes of the tmpfs, at whose top the copy lies, does not count against the container's own limit. */
static int bound(struct context *c, int target, u64 limit) {
  struct statfs status;
  char size[24];
  int r = (int)tried(c, "fstatfs", "", SYS(fstatfs, target, &status));
  if (r < 0) return r;
  size[text_number(size, ((u64)status.f_blocks - (u64)status.f_bfree) * (u64)status.f_bsize + limit)] = 0;
  int fs = (int)tried(c, "fspick", "", SYS(fspick, target, "..", FSPICK_CLOEXEC));
  if (fs < 0) return fs;
  r = (int)tried(c, "fsconfig", "size", SYS(fsconfig, fs, FSCONFIG_SET_STRING, "size", size, 0));
  if (r >= 0) r = (int)tried(c, "fsconfig", "size", SYS(fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  SYS(close, fs);
  return r;
}

static int copy_layer(struct context *c, const char *layer, int target) {
  struct statx status;
  int from = (int)tried(c, "openat", layer, SYS(openat, AT_FDCWD, layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (from < 0) return from;
  int r = copy_below(c, from, target, 0);
  if (r >= 0) r = (int)tried(c, "statx", layer, SYS(statx, from, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status));
  SYS(close, from);
  return r < 0 ? r : take_over(c, target, ".", &status);
}

/* `mark`: a directory that says that it was done already, and is made when it is done; a copy cut short is begun anew. */
int op_copy(struct context *c, const struct operation *op) {
  const char *path = op_text(op, 0), *mark = op_text(op, 1);
  struct statx status;
  if (*mark && SYS(statx, AT_FDCWD, mark, 0, STATX_TYPE, &status) >= 0) return 0;
  if (*mark) remove_tree(AT_FDCWD, path);
  int r = (int)SYS(mkdirat, AT_FDCWD, path, 0755);
  if (r < 0 && r != -E_EXIST) return (int)tried(c, "mkdirat", path, r);
  int target = (int)tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (target < 0) return target;
  for (u32 i = op->strings; i-- > 2;)
    if ((r = copy_layer(c, op_text(op, i), target)) < 0) return r;
  if (op->number[0] && (r = bound(c, target, op->number[0])) < 0) return r;
  SYS(close, target);
  return *mark ? (int)tried(c, "mkdirat", mark, SYS(mkdirat, AT_FDCWD, mark, 0700)) : 0;
}
