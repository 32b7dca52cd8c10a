/*
 * The image's own /etc/passwd and /etc/group, read as hostile text: bounded, never followed out of the root,
 * malformed lines skipped. A numeric user is always an id, even when some line has that text as a name
 * (CVE-2026-30892). The order of rules is that of Docker's --user.
 */
#include "context.h"

#include <linux/stat.h>

enum { FILE_LIMIT = 16 << 20, ID_LIMIT = 0x7fffffff, NAME_SIZE = 256 };

struct reader {
  int fd, line_over;
  usize at, filled, total;
  char buffer[4096];
};

/*
 * An id: whatever is written as a number is one, with a sign too. One that no user can have is an error, and never looked
 * for as a name, which a line of the image may have. NOT_AN_ID: it is a name.
 */
enum { NOT_AN_ID = -1 };
static i64 id_of(struct context *c, const char *what, const char *text) {
  const char *digits = text + (*text == '-' || *text == '+'), *at = digits;
  while (*at >= '0' && *at <= '9') at++;
  if (*at || at == digits) return NOT_AN_ID;
  i64 id = text_parse(text, ID_LIMIT);
  return id < 0 ? tried(c, what, text, -E_RANGE) : id;
}

/* Next byte, or -1 at the end, or another negative errno. */
static int next(struct reader *r) {
  if (r->at == r->filled) {
    long n = SYS(read, r->fd, r->buffer, sizeof r->buffer);
    if (n < 0) return (int)n - 1; /* keeps -1 free */
    if (n == 0) return -1;
    r->total += (usize)n;
    if (r->total > FILE_LIMIT) return -E_FBIG - 1;
    r->at = 0;
    r->filled = (usize)n;
  }
  return (u8)r->buffer[r->at++];
}

/* One field up to ':' or the end of the line; what does not fit is an empty text. Negative on error, 1 at EOF. */
static int field(struct reader *r, char *to, usize size, char extra_end) {
  usize length = 0;
  r->line_over = 0;
  for (;;) {
    int byte = next(r);
    if (byte < -1) return byte + 1;
    if (byte == -1 || byte == '\n' || byte == ':' || (extra_end && byte == extra_end)) {
      if (byte == -1 || byte == '\n') r->line_over = 1;
      if (size) to[length < size ? length : 0] = 0;
      return byte == -1 && length == 0;
    }
    if (length < size) to[length] = (char)byte;
    length++;
  }
}

static int skip_line(struct reader *r) {
  int result = 0;
  while (!r->line_over && result == 0) result = field(r, NULL, 0, 0);
  return result;
}

/* The null device, which MASK puts over a file: as if there was none. */
static int is_mask(const struct statx *status) {
  return (status->stx_mode & S_IFMT) == S_IFCHR && status->stx_rdev_major == 1 && status->stx_rdev_minor == 3;
}

static int open_file(struct context *c, struct reader *r, const char *path) {
  struct statx status;
  memset(r, 0, sizeof *r - sizeof r->buffer);
  r->fd = resolve_open(-1, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, 0);
  if (r->fd < 0) return r->fd;
  long result = SYS(statx, r->fd, "", AT_EMPTY_PATH, STATX_TYPE, &status);
  if (result >= 0 && is_mask(&status)) {
    SYS(close, r->fd);
    return -E_NOENT;
  }
  if (result >= 0 && (status.stx_mode & S_IFMT) != S_IFREG) result = -E_ACCES;
  if (result < 0) {
    SYS(close, r->fd);
    return (int)tried(c, "openat2", path, result);
  }
  return 0;
}

struct user {
  char name[NAME_SIZE], home[NAME_SIZE];
  i64 uid, gid;
};

/* First line whose name or id matches. 1: found, 0: not. */
static int find_user(struct context *c, const char *name, i64 uid, struct user *found) {
  struct reader r;
  char id[16];
  int result = open_file(c, &r, "/etc/passwd");
  if (result == -E_NOENT) return 0;
  if (result < 0) return (int)tried(c, "openat2", "/etc/passwd", result);
  for (;;) {
    result = field(&r, found->name, NAME_SIZE, 0);
    if (result) break;
    found->uid = found->gid = -1;
    found->home[0] = 0;
    if (!r.line_over) result = field(&r, NULL, 0, 0);
    if (!result && !r.line_over && !(result = field(&r, id, sizeof id, 0))) found->uid = text_parse(id, ID_LIMIT);
    if (!result && !r.line_over && !(result = field(&r, id, sizeof id, 0))) found->gid = text_parse(id, ID_LIMIT);
    if (!result && !r.line_over) result = field(&r, NULL, 0, 0);
    if (!result && !r.line_over) result = field(&r, found->home, NAME_SIZE, 0);
    if (result < 0) break;
    result = skip_line(&r);
    if (result < 0) break;
    if (found->uid < 0 || found->gid < 0 || !found->name[0]) continue;
    if (name ? text_equal(name, found->name) : uid == found->uid) {
      SYS(close, r.fd);
      return 1;
    }
  }
  SYS(close, r.fd);
  return result < 0 ? (int)tried(c, "read", "/etc/passwd", result) : 0;
}

static int add_group(struct context *c, u32 gid) {
  for (u32 i = 0; i < c->groups; i++)
    if (c->group[i] == gid) return 0;
  if (c->groups == GROUPS_MAX) return (int)tried(c, "setgroups", "too many groups", -E_INVAL);
  c->group[c->groups++] = gid;
  return 0;
}

/*
 * With `name` or `gid` >= 0: the first group that matches, stored in `found` (1 when there is one).
 * With `member`: every group that lists it is added to the supplementary ones.
 */
static int scan_groups(struct context *c, const char *name, i64 wanted, const char *member, u32 *found) {
  struct reader r;
  char group_name[NAME_SIZE], id[16], listed[NAME_SIZE];
  int result = open_file(c, &r, "/etc/group");
  if (result == -E_NOENT) return 0;
  if (result < 0) return (int)tried(c, "openat2", "/etc/group", result);
  for (;;) {
    i64 gid = -1;
    result = field(&r, group_name, NAME_SIZE, 0);
    if (result) break;
    if (!r.line_over) result = field(&r, NULL, 0, 0);
    if (!result && !r.line_over && !(result = field(&r, id, sizeof id, 0))) gid = text_parse(id, ID_LIMIT);
    int is_member = 0;
    while (!result && !r.line_over) {
      result = field(&r, listed, NAME_SIZE, ',');
      if (!result && member && text_equal(listed, member)) is_member = 1;
    }
    if (result < 0) break;
    if (gid < 0 || !group_name[0]) continue;
    if (member) {
      if (is_member && (result = add_group(c, (u32)gid)) < 0) break;
    } else if (name ? text_equal(name, group_name) : wanted == gid) {
      *found = (u32)gid;
      SYS(close, r.fd);
      return 1;
    }
  }
  SYS(close, r.fd);
  return result < 0 ? (int)tried(c, "read", "/etc/group", result) : 0;
}

int users_add_group(struct context *c, const char *name) {
  u32 gid;
  i64 number = id_of(c, "group", name);
  if (number >= 0) return add_group(c, (u32)number);
  if (number != NOT_AN_ID) return (int)number;
  int r = scan_groups(c, name, -1, NULL, &gid);
  if (r < 0) return r;
  if (r == 0) return (int)tried(c, "group", name, -E_NOENT);
  return add_group(c, gid);
}

/* Sets uid, gid, groups and home of the context from `user[:group]`. */
int users_lookup(struct context *c, const char *spec, u32 uid, u32 gid) {
  char name[NAME_SIZE];
  const char *group = NULL;
  struct user found;
  usize length = 0;
  while (spec[length] && spec[length] != ':') length++;
  if (length >= sizeof name) return (int)tried(c, "user", spec, -E_NAMETOOLONG);
  memcpy(name, spec, length);
  name[length] = 0;
  if (spec[length] == ':') group = spec + length + 1;

  c->uid = uid;
  c->gid = gid;
  c->groups = 0;
  text_copy(c->home, sizeof c->home, "/");

  i64 number = *name ? id_of(c, "user", name) : (i64)uid;
  if (number < 0 && number != NOT_AN_ID) return (int)number;
  int r = find_user(c, number < 0 ? name : NULL, number, &found);
  if (r < 0) return r;
  if (r) {
    c->uid = (u32)found.uid;
    c->gid = (u32)found.gid;
    if (found.home[0] == '/') text_copy(c->home, sizeof c->home, found.home);
  } else if (number < 0) {
    return (int)tried(c, "user", name, -E_NOENT);
  } else {
    c->uid = (u32)number;
  }

  if (group && *group) {
    i64 group_number = id_of(c, "group", group);
    if (group_number < 0 && group_number != NOT_AN_ID) return (int)group_number;
    u32 group_found;
    int g = scan_groups(c, group_number < 0 ? group : NULL, group_number, NULL, &group_found);
    if (g < 0) return g;
    if (!g && group_number < 0) return (int)tried(c, "group", group, -E_NOENT);
    c->gid = g ? group_found : (u32)group_number;
  } else if (r) {
    int g = scan_groups(c, NULL, -1, found.name, NULL);
    if (g < 0) return g;
  }
  /* The primary group is a supplementary one too, or dropping it would widen access (CVE-2022-36109). */
  return add_group(c, c->gid);
}
