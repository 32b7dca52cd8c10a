/* Directories, devices, links and files of the new root. */
#include "context.h"

#include <linux/stat.h>

static int base_of(struct context *c, u64 slot, int *base) {
  *base = -1;
  if (slot == PLAN_NONE) return 0;
  *base = slot_get(c, slot);
  return *base < 0 ? *base : 0;
}

static int own(struct context *c, int directory, const char *name, u64 owner) {
  if (!owner) return 0;
  return (int)tried(c, "fchownat", name,
                    SYS(fchownat, directory, name, owner_uid(owner), owner_gid(owner),
                        AT_SYMLINK_NOFOLLOW));
}

/* The umask is 0 here, so modes are as given. */
int op_directory(struct context *c, const struct operation *op) {
  struct place place;
  int base, r = base_of(c, op->number[0], &base);
  if (r < 0 || (r = resolve_place(c, base, op->string, &place)) < 0) return r;
  r = (int)SYS(mkdirat, place.directory, place.name, op->number[1] & 07777);
  if (r == -E_EXIST) {
    /* A directory, or a link to one, will do. */
    int there = resolve_open(base, op->string, O_PATH | O_DIRECTORY, 0, 0);
    close_fd(there);
    r = there < 0 ? (int)tried(c, "mkdirat", op->string, there) : 0;
  } else if (r < 0) {
    tried(c, "mkdirat", op->string, r);
  } else {
    r = own(c, place.directory, place.name, op->number[2]);
  }
  place_end(&place);
  return r;
}

int op_node(struct context *c, const struct operation *op) {
  struct place place;
  int base, r = base_of(c, op->number[0], &base);
  if (r < 0 || (r = resolve_place(c, base, op->string, &place)) < 0) return r;
  r = (int)SYS(mknodat, place.directory, place.name, op->number[1], op->number[2]);
  if (r == -E_EXIST && op->flags & PLAN_OPTIONAL)
    r = 0;
  else if (r < 0)
    tried(c, "mknodat", op->string, r);
  else
    r = own(c, place.directory, place.name, op->number[3]);
  place_end(&place);
  return r;
}

int op_symlink(struct context *c, const struct operation *op) {
  struct place place;
  const char *target = op_text(op, 0), *path = op_text(op, 1);
  int base, r = base_of(c, op->number[0], &base);
  if (r < 0 || (r = resolve_place(c, base, path, &place)) < 0) return r;
  r = (int)SYS(symlinkat, target, place.directory, place.name);
  if (r == -E_EXIST && op->flags & PLAN_OPTIONAL) r = 0;
  if (r < 0) tried(c, "symlinkat", path, r);
  place_end(&place);
  return r;
}

/*
 * With PLAN_STAY into what is mounted only by the path as it is written: a link that the image brought, or that a guest
 * left, would have us write with our rights to what is read-only or another's for them (/proc/sys, a bind mount).
 */
static int open_for_writing(int base, const struct operation *op, u64 flags) {
  const char *path = op->string;
  u64 mode = op->number[1] & 0777;
  if (!(op->flags & PLAN_STAY)) return resolve_open(base, path, flags, mode, 0);
  int fd = resolve_open(base, path, flags, mode, RESOLVE_NO_XDEV_FLAG);
  return fd == -E_XDEV ? resolve_open(base, path, flags, mode, RESOLVE_NO_SYMLINKS_FLAG) : fd;
}

/* Whole content, or an error: a file is never left half-written without the run failing. */
int op_file(struct context *c, const struct operation *op) {
  int base, r = base_of(c, op->number[0], &base);
  if (r < 0) return r;
  const char *path = op->string;
  u64 flags = O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK | (op->flags & PLAN_EXCLUSIVE ? O_EXCL : 0);
  u64 mode = op->number[1] & 07777;
  int fd = open_for_writing(base, op, flags);
  if (fd == -E_NOENT) {
    int above = resolve_make(c, base, path, 0755, 0);
    if (above < 0) return above;
    SYS(close, above);
    fd = open_for_writing(base, op, flags);
  }
  if (fd < 0) return (int)tried(c, "openat2", path, fd);
  struct statx status;
  if (!(op->flags & PLAN_EXCLUSIVE)) {
    r = (int)tried(c, "statx", path, SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &status));
    if (r >= 0 && (status.stx_mode & S_IFMT) != S_IFREG)
      r = (int)tried(c, "openat2", path, -E_ACCES); /* a FIFO or device that the image put there */
    if (r >= 0) r = (int)tried(c, "ftruncate", path, SYS(ftruncate, fd, 0));
  }
  const u8 *at = op->blob;
  usize left = op->blob_size;
  while (r >= 0 && left) {
    long n = tried(c, "write", path, SYS(write, fd, at, left));
    if (n < 0) {
      r = (int)n;
      break;
    }
    at += n;
    left -= (usize)n;
  }
  if (r >= 0 && op->number[2])
    r = (int)tried(c, "fchown", path,
                   SYS(fchown, fd, owner_uid(op->number[2]), owner_gid(op->number[2])));
  /* It may have been there, and writing drops the set-id bits. */
  if (r >= 0 && !(op->flags & PLAN_EXCLUSIVE)) r = (int)tried(c, "fchmod", path, SYS(fchmod, fd, mode));
  SYS(close, fd);
  return r < 0 ? r : 0;
}

/* Below the /proc/sys of a procfs that this program mounted itself; nothing can have been put over it. */
int op_sysctl(struct context *c, const struct operation *op) {
  const char *path = op_text(op, 0), *value = op_text(op, 1);
  char full[512];
  int proc = slot_get(c, op->number[0]);
  if (proc < 0) return proc;
  text_copy(full, sizeof full, "sys/");
  text_copy(full + 4, sizeof full - 4, path);
  int fd = (int)tried(c, "openat2", path,
                      resolve_open(proc, full, O_WRONLY, 0, RESOLVE_NO_SYMLINKS_FLAG | RESOLVE_NO_XDEV_FLAG));
  if (fd < 0) return fd;
  long r = tried(c, "write", path, SYS(write, fd, value, strlen(value)));
  SYS(close, fd);
  return r < 0 ? (int)r : 0;
}
