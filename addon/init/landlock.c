/*
 * Landlock (landlock(7)): a second wall, which holds even where a descriptor of the host should get into a program's
 * hands: what does not lie below the container's own root is denied, however it was reached.
 */
#include "context.h"

#include <linux/openat2.h>
#include <linux/stat.h>

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif

enum {
  CREATE_RULESET_VERSION = 1,
  RULE_PATH_BENEATH = 1,
  RULE_NET_PORT = 2,
  /* Before this version nothing could be moved to another directory. */
  VERSION_REFER = 2,
  VERSION_NET = 4,
  VERSION_SCOPE = 6,
  SCOPE_SIGNAL = 2,
  RIGHTS_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15,
};

struct ruleset {
  u64 fs, net, scoped;
};
struct __attribute__((packed)) beneath {
  u64 rights;
  i32 parent;
};
struct port {
  u64 rights, port;
};

/* What this version of the interface knows of the file system. */
static u64 known_rights(long version) {
  return version >= 5 ? 0xffff : version >= 3 ? 0x7fff : version >= 2 ? 0x3fff : 0x1fff;
}

static int allow_path(struct context *c, int ruleset, const char *path, u64 rights, u32 flags) {
  struct statx status;
  /* A link of the image's would make of a rule for one place one for another, and for all. */
  int fd = resolve_open(-1, path, O_PATH, 0, flags & PLAN_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0);
  if (flags & PLAN_OPTIONAL && (fd == -E_NOENT || fd == -E_ACCES)) return 0;
  if (fd < 0) return (int)tried(c, "openat2", path, fd);
  struct beneath rule = {.rights = rights, .parent = fd};
  int r = (int)tried(c, "statx", path, SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &status));
  if (r >= 0 && (status.stx_mode & S_IFMT) != S_IFDIR) rule.rights &= RIGHTS_OF_FILES;
  if (r >= 0)
    r = (int)tried(c, "landlock_add_rule", path, SYS(landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0));
  SYS(close, fd);
  return r;
}

/* The blob lies where the text before it ends. */
static u64 number_at(const struct operation *op, u32 index) {
  u64 number;
  memcpy(&number, (const u8 *)op->blob + index * sizeof number, sizeof number);
  return number;
}

/* `blob`: the rights of each path, then rights and number of each port, eight bytes each. */
int op_landlock(struct context *c, const struct operation *op) {
  int required = op->number[2] != 0;
  u32 count = op->blob_size / sizeof(u64);
  if (count < op->strings || (count - op->strings) % 2) return (int)tried(c, "plan", "landlock", -E_PROTO);
  long version = SYS(landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
  if (version < VERSION_REFER) {
    if (!required) return 0;
    return (int)tried(c, "landlock_create_ruleset", "", version < 0 ? version : -E_OPNOTSUPP);
  }
  struct ruleset ruleset = {.fs = op->strings ? known_rights(version) : 0, .net = op->number[0], .scoped = op->number[1]};
  if (required && ((ruleset.net && version < VERSION_NET) || (ruleset.scoped && version < VERSION_SCOPE)))
    return (int)tried(c, "landlock_create_ruleset", ruleset.net && version < VERSION_NET ? "TCP" : "scope", -E_OPNOTSUPP);
  if (version < VERSION_NET) ruleset.net = 0;
  if (version < VERSION_SCOPE) ruleset.scoped = 0;
  if (!ruleset.fs && !ruleset.net && !ruleset.scoped) return 0; /* nothing of it is known here */
  usize size = version >= VERSION_SCOPE ? 24 : version >= VERSION_NET ? 16 : 8;
  int fd = (int)tried(c, "landlock_create_ruleset", "", SYS(landlock_create_ruleset, &ruleset, size, 0));
  if (fd < 0) return fd;

  const char *path = op->string;
  int r = 0;
  for (u32 i = 0; r >= 0 && i < op->strings; i++, path += strlen(path) + 1)
    r = allow_path(c, fd, path, number_at(op, i) & ruleset.fs, op->flags);
  for (u32 i = op->strings; r >= 0 && ruleset.net && i < count; i += 2) {
    struct port rule = {number_at(op, i), number_at(op, i + 1)};
    r = (int)tried(c, "landlock_add_rule", "port", SYS(landlock_add_rule, fd, RULE_NET_PORT, &rule, 0));
  }
  if (r >= 0) r = (int)tried(c, "landlock_restrict_self", "", SYS(landlock_restrict_self, fd, 0));
  if (r >= 0 && ruleset.scoped & SCOPE_SIGNAL) c->scoped = 1;
  SYS(close, fd);
  return r;
}
