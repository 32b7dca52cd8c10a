/* Removes trees whose content may be hostile, and may change meanwhile. */
#include "context.h"

enum { REMOVE_DEPTH = 256, REMOVE_PASSES = 64, REMOVE_DIRECTORY_FLAG = 0x200 };

/* By descriptors from top to bottom, never by path; a link is removed, not followed. */
static int remove_below(int above, const char *name, int depth) {
  char buffer[2048];
  int r = (int)SYS(unlinkat, above, name, 0);
  if (r != -E_ISDIR && r != -E_PERM) return r;
  r = (int)SYS(unlinkat, above, name, REMOVE_DIRECTORY_FLAG);
  if (r == 0 || r == -E_NOENT || r == -E_NOTDIR) return r;
  if (depth == REMOVE_DEPTH) return -E_LOOP;
  long directory = SYS(openat, above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n;
  if (directory < 0) return (int)directory;
  /* Removing while listing may skip entries: listed again until a pass finds none, or a guest has filled it too often. */
  int found, passes = 0;
  do {
    found = r = 0;
    SYS(lseek, directory, 0, 0);
    while (r == 0 && (n = SYS(getdents64, directory, buffer, sizeof buffer)) > 0)
      for (long at = 0; at < n && r == 0;) {
        struct entry *entry = (struct entry *)(buffer + at);
        at += entry->length;
        if (text_equal(entry->name, ".") || text_equal(entry->name, "..")) continue;
        found = 1;
        r = remove_below((int)directory, entry->name, depth + 1);
        if (r == -E_NOENT) r = 0;
      }
  } while (r == 0 && found && ++passes < REMOVE_PASSES);
  SYS(close, directory);
  return r ? r : (int)SYS(unlinkat, above, name, REMOVE_DIRECTORY_FLAG);
}

int remove_tree(int above, const char *name) { return remove_below(above, name, 0); }
