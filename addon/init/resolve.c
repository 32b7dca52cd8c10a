/*
 * Paths inside a root whose content may be hostile.
 *
 * Everything goes through openat2 with RESOLVE_IN_ROOT: the kernel itself confines `..`, absolute links and
 * renames that happen meanwhile, and magic links (/proc/PID/fd, root, cwd) are never followed.
 */
#include "context.h"

#include <linux/openat2.h>
#include <linux/stat.h>

/* Opened once, and again when the root of this process has changed. */
static int root_fd = -1;

void resolve_new_root(void) {
  close_fd(root_fd);
  root_fd = -1;
}

/* base < 0: the root of this process. */
int resolve_open(int base, const char *path, u64 flags, u64 mode, u64 resolve) {
  struct open_how how = {
      .flags = flags | O_CLOEXEC,
      .mode = mode,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
  };
  if (base < 0) {
    if (root_fd < 0) root_fd = (int)SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) return root_fd;
    base = root_fd;
  }
  long r;
  int attempts = 0;
  /* EAGAIN: something on the way was renamed during the walk; an attacker can do that for ever. */
  do r = SYS(openat2, base, path, &how, sizeof how);
  while ((r == -E_AGAIN || r == -E_INTR) && ++attempts < 128);
  return (int)r;
}

int resolve_place(struct context *c, int base, const char *path, struct place *place) {
  usize cut = strlen(path);
  while (cut && path[cut - 1] != '/') cut--;
  place->name = path + cut;
  place->borrowed = base >= 0 && cut == 0;
  if (!*place->name || text_equal(place->name, ".") || text_equal(place->name, ".."))
    return (int)tried(c, "openat2", path, -E_INVAL);
  if (place->borrowed) return place->directory = base;
  return place->directory = resolve_make(c, base, path, 0755, 0);
}

int resolve_make(struct context *c, int base, const char *path, u32 mode, int leaf) {
  char prefix[4096];
  usize length = strlen(path), end = length;
  if (length >= sizeof prefix) return (int)tried(c, "mkdirat", path, -E_NAMETOOLONG);
  if (!leaf)
    while (end && path[end - 1] != '/') end--;
  while (end && path[end - 1] == '/') end--;

  /* The usual case first: all is there. */
  memcpy(prefix, path, end);
  prefix[end] = 0;
  int fd = resolve_open(base, end ? prefix : ".", O_PATH | O_DIRECTORY, 0, 0);
  if (fd >= 0) return fd;
  if (fd != -E_NOENT) return (int)tried(c, "openat2", path, fd);

  int above = resolve_open(base, ".", O_PATH | O_DIRECTORY, 0, 0);
  if (above < 0) return (int)tried(c, "openat2", path, above);
  for (usize at = 0; at < end;) {
    while (at < end && path[at] == '/') at++;
    usize start = at;
    while (at < end && path[at] != '/') at++;
    if (start == at) break;
    memcpy(prefix, path, at);
    prefix[at] = 0;
    fd = resolve_open(base, prefix, O_PATH | O_DIRECTORY, 0, 0);
    if (fd == -E_NOENT) {
      /* A dangling link gives EEXIST here, which is an error: nothing is made through it. */
      long r = SYS(mkdirat, above, prefix + start, mode);
      if (r < 0) {
        SYS(close, above);
        return (int)tried(c, "mkdirat", prefix, r);
      }
      fd = resolve_open(base, prefix, O_PATH | O_DIRECTORY, 0, 0);
    }
    SYS(close, above);
    if (fd < 0) return (int)tried(c, "openat2", prefix, fd);
    above = fd;
  }
  return above;
}
