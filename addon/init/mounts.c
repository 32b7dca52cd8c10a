/*
 * Mounts. Sources are opened as descriptors while the host's tree is still visible; after ROOT nothing of the
 * host has a name any more, and every target is resolved inside the new root.
 */
#include "context.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <asm/statfs.h>

enum {
  MNT_DETACH_FLAG = 2,
  EMPTY = AT_EMPTY_PATH,
};

static int move_to(struct context *c, int mount, int target, const char *path) {
  return (int)tried(c, "move_mount", path,
                    SYS(move_mount, mount, "", target, "",
                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static int clone_tree(struct context *c, int fd, const char *path, u64 flags) {
  return (int)tried(c, "open_tree", path,
                    SYS(open_tree, fd, path ? path : "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}

static int set_attributes(struct context *c, int fd, const char *path, u64 flags,
                          const struct mount_attr *attributes) {
  return (int)tried(c, "mount_setattr", path,
                    SYS(mount_setattr, fd, "", EMPTY | flags, attributes, sizeof *attributes));
}

static i64 file_type(int fd) {
  struct statx status;
  long r = SYS(statx, fd, "", EMPTY, STATX_TYPE, &status);
  return r < 0 ? r : status.stx_mode & S_IFMT;
}

int op_propagation(struct context *c, const struct operation *op) {
  const char *path = *op->string ? op->string : "/";
  return (int)tried(c, "mount", path, SYS(mount, NULL, path, NULL, op->number[0], NULL));
}

int op_tree(struct context *c, const struct operation *op) {
  const char *path = op->string;
  int recursive = op->flags & PLAN_RECURSIVE;
  int tree = (int)SYS(open_tree, AT_FDCWD, path,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
  if (tree == -E_NOENT && op->flags & PLAN_OPTIONAL) return 0;
  if (tree < 0) return (int)tried(c, "open_tree", path, tree);
  struct mount_attr attributes = {.attr_set = op->number[2]};
  if (attributes.attr_set & MOUNT_ATTR__ATIME) attributes.attr_clr |= MOUNT_ATTR__ATIME;
  int r = slot_set(c, op->number[0], tree); /* so that it is closed whatever follows */
  if (r >= 0 && op->number[3] != PLAN_NONE) {
    int userns = slot_get(c, op->number[3]);
    if (userns < 0) return userns;
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = (u64)userns;
  }
  u64 below = recursive && !(op->flags & PLAN_TOP) ? AT_RECURSIVE : 0;
  if (r >= 0 && attributes.attr_set) r = set_attributes(c, tree, path, below, &attributes);
  if (r >= 0 && op->number[1]) {
    struct mount_attr propagation = {.propagation = op->number[1]};
    r = set_attributes(c, tree, path, recursive ? AT_RECURSIVE : 0, &propagation);
  }
  return r;
}

static int configure(struct context *c, int fs, const struct operation *op) {
  for (u32 i = 1; i + 1 < op->strings; i += 2) {
    const char *key = op_text(op, i), *value = op_text(op, i + 1);
    int r = (int)tried(c, "fsconfig", key,
                       *value ? SYS(fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0)
                              : SYS(fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0));
    if (r < 0) return r;
  }
  return (int)tried(c, "fsconfig", op->string, SYS(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

int op_filesystem(struct context *c, const struct operation *op) {
  const char *type = op->string;
  int fs = (int)tried(c, "fsopen", type, SYS(fsopen, type, FSOPEN_CLOEXEC));
  if (fs < 0) return fs;
  int mount = configure(c, fs, op);
  if (mount >= 0) mount = (int)tried(c, "fsmount", type, SYS(fsmount, fs, FSMOUNT_CLOEXEC, op->number[1]));
  SYS(close, fs);
  return mount < 0 ? mount : slot_set(c, op->number[0], mount);
}

/*
 * Overlay. Layers are named by descriptor numbers relative to /proc/self/fd: no character of a path can be taken
 * for a separator, hundreds of layers fit in the one page of options, and /proc/mounts inside the container shows
 * no path of the host. The classic call is used because older kernels cut the new one's values at 256 bytes.
 */
/*
 * Overlay works on its directories with the ids of whoever mounted it, and through an id-mapped mount only mapped ones
 * can own a file (overlayfs.rst, "Permission model"). Leaving id 0 drops the rights over files; they are taken again.
 */
static void act_as(u64 owner) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct rights[2];
  SYS(setfsgid, owner_gid(owner));
  SYS(setfsuid, owner_uid(owner));
  if (!owner || SYS(capget, &header, rights) < 0) return;
  for (int i = 0; i < 2; i++) rights[i].effective = rights[i].permitted;
  SYS(capset, &header, rights);
}

static int close_all(const int *fds, u32 count, int result) {
  for (u32 i = 0; i < count; i++) SYS(close, fds[i]);
  return result;
}

int op_overlay(struct context *c, const struct operation *op) {
  const char *staging = op_text(op, 0), *upper = op_text(op, 1), *work = op_text(op, 2);
  const char *more = op_text(op, 3);
  char options[4096];
  usize length = 0;
  int opened[512];
  u32 count = 0;

  for (u32 i = 1; i < op->strings; i++) {
    const char *path = op_text(op, i);
    if (i == 3 || (i < 3 && !*upper)) continue;
    if (count == sizeof opened / sizeof *opened || length > sizeof options - 80)
      return close_all(opened, count, (int)tried(c, "mount", "overlay: too many layers", -E_2BIG));
    long fd = tried(c, "openat", path, SYS(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0) return close_all(opened, count, (int)fd);
    opened[count++] = (int)fd;
    const char *key = i == 1 ? "upperdir=" : i == 2 ? ",workdir=" : i == 4 ? "lowerdir=" : ":";
    if (i == 4 && *upper) options[length++] = ',';
    usize key_length = strlen(key);
    memcpy(options + length, key, key_length);
    length += key_length;
    length += text_number(options + length, (u64)fd);
  }
  if (*more) {
    usize more_length = strlen(more);
    if (length + more_length + 2 > sizeof options)
      return close_all(opened, count, (int)tried(c, "mount", "overlay: options", -E_2BIG));
    options[length++] = ',';
    memcpy(options + length, more, more_length);
    length += more_length;
  }
  options[length] = 0;

  /* `volatile` leaves a mark against reuse after a crash of the machine, which these layers do not outlive anyway. */
  char mark[4096];
  usize work_length = strlen(work);
  if (*upper && work_length + 32 < sizeof mark) {
    memcpy(mark, work, work_length);
    text_copy(mark + work_length, 32, "/work/incompat/volatile/dirty");
    SYS(unlinkat, AT_FDCWD, mark, 0);
    mark[work_length + sizeof "/work/incompat/volatile" - 1] = 0;
    SYS(unlinkat, AT_FDCWD, mark, 0x200 /* AT_REMOVEDIR */);
  }

  int r = (int)tried(c, "chdir", "/proc/self/fd", SYS(chdir, "/proc/self/fd"));
  if (r >= 0) {
    if (op->number[2]) act_as(op->number[2]);
    r = (int)tried(c, "mount", staging, SYS(mount, "overlay", staging, "overlay", 0, options));
    if (op->number[2]) act_as(0);
    SYS(chdir, "/");
  }
  if (close_all(opened, count, r) < 0) return r;

  struct mount_attr attributes = {.attr_set = op->number[1]};
  int mount = (int)tried(c, "open_tree", staging, SYS(open_tree, AT_FDCWD, staging, OPEN_TREE_CLOEXEC));
  if (mount < 0) return mount;
  if ((r = slot_set(c, op->number[0], mount)) < 0) return r;
  /* Where overlay cannot use the upper directory, it warns in the kernel's log and mounts read-only. */
  struct statfs status;
  r = (int)tried(c, "fstatfs", staging, SYS(fstatfs, mount, &status));
  if (r >= 0 && *upper && status.f_flags & 1 /* ST_RDONLY */) r = (int)tried(c, "mount", upper, -E_ROFS);
  if (r < 0) return r;
  return attributes.attr_set ? set_attributes(c, mount, staging, 0, &attributes) : 0;
}

/* From here on the prepared mount is `/`, and the host's tree is gone from this namespace. */
int op_root(struct context *c, const struct operation *op) {
  const char *staging = op->string;
  int mount = slot_get(c, op->number[0]);
  if (mount < 0) return mount;
  int r = 0;
  if (!op->number[1])
    r = (int)tried(c, "move_mount", staging,
                   SYS(move_mount, mount, "", AT_FDCWD, staging, MOVE_MOUNT_F_EMPTY_PATH));
  if (r < 0) return r;
  r = (int)tried(c, "fchdir", staging, SYS(fchdir, mount));
  if (r < 0) return r;
  r = (int)tried(c, "pivot_root", staging, SYS(pivot_root, ".", "."));
  if (r < 0) return r;
  r = (int)tried(c, "umount2", ".", SYS(umount2, ".", MNT_DETACH_FLAG));
  if (r < 0) return r;
  resolve_new_root();
  return (int)tried(c, "chdir", "/", SYS(chdir, "/"));
}

/* For a kernel file system that must be the real one: nothing else can have been put in its place. */
int op_open(struct context *c, const struct operation *op) {
  const char *path = op->string;
  int fd = (int)tried(c, "openat2", path, resolve_open(-1, path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS_FLAG));
  if (fd < 0) return fd;
  if (op->number[1]) {
    struct statfs status;
    int r = (int)tried(c, "fstatfs", path, SYS(fstatfs, fd, &status));
    if (r >= 0 && (u64)status.f_type != op->number[1]) r = (int)tried(c, "fstatfs", path, -E_INVAL);
    if (r < 0) return r;
  }
  return slot_set(c, op->number[0], fd);
}

int op_chroot(struct context *c, const struct operation *op) {
  int r = (int)tried(c, "chroot", op->string, SYS(chroot, op->string));
  if (r < 0) return r;
  resolve_new_root();
  return (int)tried(c, "chdir", "/", SYS(chdir, "/"));
}

/* Makes an empty file to mount upon. */
static int make_file(struct context *c, int base, const char *path) {
  struct place place;
  int r = resolve_place(c, base, path, &place);
  if (r < 0) return r;
  r = (int)tried(c, "openat", path,
                 SYS(openat, place.directory, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     0644));
  place_end(&place);
  close_fd(r);
  return r;
}

int op_attach(struct context *c, const struct operation *op) {
  const char *path = op->string;
  u64 resolve = op->flags & PLAN_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS_FLAG : 0;
  /* An optional source that was not there left its slot empty. */
  if (op->flags & PLAN_OPTIONAL && op->number[0] < PLAN_SLOTS && c->slot[op->number[0]] < 0) return 0;
  int mount = slot_get(c, op->number[0]), base = -1;
  if (mount < 0) return mount;
  if (op->number[1] != PLAN_NONE && (base = slot_get(c, op->number[1])) < 0) return base;

  i64 type = file_type(mount);
  if (type < 0) return (int)tried(c, "statx", path, type);
  u64 directory = type == S_IFDIR ? O_DIRECTORY : 0;
  int target = resolve_open(base, path, O_PATH | directory, 0, resolve);
  if (target == -E_NOENT && op->flags & PLAN_CREATE) {
    int r = type == S_IFDIR ? resolve_make(c, base, path, 0755, 1) : make_file(c, base, path);
    if (r < 0) return r;
    if (type == S_IFDIR) close_fd(r);
    target = resolve_open(base, path, O_PATH | directory, 0, resolve);
  }
  if (target < 0) return (int)tried(c, "openat2", path, target);
  if (!directory) {
    i64 target_type = file_type(target);
    if (target_type == S_IFDIR) {
      SYS(close, target);
      return (int)tried(c, "move_mount", path, -E_ISDIR);
    }
  }
  int r = move_to(c, mount, target, path);
  SYS(close, target);
  return r;
}

int op_setattr(struct context *c, const struct operation *op) {
  int fd = resolve_open(-1, op->string, O_PATH, 0, 0);
  if (fd == -E_NOENT && op->flags & PLAN_OPTIONAL) return 0;
  if (fd < 0) return (int)tried(c, "openat2", op->string, fd);
  struct mount_attr attributes = {
      .attr_set = op->number[0], .attr_clr = op->number[1], .propagation = op->number[2]};
  int r = set_attributes(c, fd, op->string, op->flags & PLAN_RECURSIVE ? AT_RECURSIVE : 0, &attributes);
  SYS(close, fd);
  return r;
}

/*
 * Hides a path: a directory behind an empty read-only one, anything else behind a null device. The null device is
 * the one that this program made in its own /dev, never one that the image brings (CVE-2025-31133).
 */
static int make_empty(struct context *c) {
  struct operation empty = {.string = "tmpfs\0size\0" "4k\0nr_inodes\0" "1\0mode\0" "755", .strings = 7};
  empty.number[0] = PLAN_SLOTS - 1;
  empty.number[1] = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  int r = op_filesystem(c, &empty);
  return r < 0 ? r : c->slot[PLAN_SLOTS - 1];
}

int op_mask(struct context *c, const struct operation *op) {
  const char *path = op->string;
  u64 resolve = op->flags & PLAN_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS_FLAG : 0;
  int target = resolve_open(-1, path, O_PATH, 0, resolve);
  if (target == -E_NOENT || target == -E_NOTDIR) return 0;
  if (target < 0) return (int)tried(c, "openat2", path, target);
  i64 type = tried(c, "statx", path, file_type(target));
  if (type < 0) return (int)type;
  int cover, r;
  if (type == S_IFDIR) {
    if (c->empty_dir < 0) c->empty_dir = op->number[1] == PLAN_NONE ? make_empty(c) : slot_get(c, op->number[1]);
    if (c->empty_dir < 0) return c->empty_dir;
    cover = clone_tree(c, c->empty_dir, NULL, EMPTY);
    if (cover == -E_INVAL) {
      /* Before Linux 6.15 only what is attached can be cloned, so the first one is attached as it is. */
      r = move_to(c, c->empty_dir, target, path);
      SYS(close, target);
      return r;
    }
  } else {
    cover = slot_get(c, op->number[0]);
    if (cover >= 0) cover = clone_tree(c, cover, "null", 0);
  }
  r = cover < 0 ? cover : move_to(c, cover, target, path);
  close_fd(cover);
  SYS(close, target);
  return r;
}

int op_readonly(struct context *c, const struct operation *op) {
  const char *path = op->string;
  u64 resolve = op->flags & PLAN_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS_FLAG : 0;
  int target = resolve_open(-1, path, O_PATH, 0, resolve);
  if (target == -E_NOENT || target == -E_NOTDIR) return 0;
  if (target < 0) return (int)tried(c, "openat2", path, target);
  int tree = (int)tried(c, "open_tree", path,
                        SYS(open_tree, target, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | EMPTY | AT_RECURSIVE));
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  int r = tree < 0 ? tree : set_attributes(c, tree, path, AT_RECURSIVE, &attributes);
  if (r >= 0) r = move_to(c, tree, target, path);
  close_fd(tree);
  SYS(close, target);
  return r;
}
