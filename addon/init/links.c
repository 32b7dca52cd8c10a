/* Bridges whose last user has ended, and forwarding that was turned on for them. */
#include "links.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "context.h"

enum { FAMILY_NETLINK = 16, RAW = 3, LOCK_ALONE = 2 | 4 /* LOCK_EX | LOCK_NB */, NAME_MAX_BYTES = 15, PATH_BYTES = 4096 };
enum { ATTEMPTS = 20, PAUSE_NS = 20 * 1000 * 1000 };

struct link_entry {
  u64 inode;
  i64 next;
  u16 length;
  u8 type;
  char name[];
};

/* RTM_DELLINK by name. It is not waited for: nobody is left to be told. */
static void remove_device(const char *name) {
  struct {
    struct nlmsghdr head;
    struct ifinfomsg info;
    struct nlattr attribute;
    char name[16];
  } message;
  struct sockaddr_nl_plain {
    u16 family, pad;
    u32 pid, groups;
  } kernel = {FAMILY_NETLINK, 0, 0, 0};
  long fd = SYS(socket, FAMILY_NETLINK, RAW, NETLINK_ROUTE);
  if (fd < 0) return;
  memset(&message, 0, sizeof message);
  message.head.nlmsg_len = sizeof message;
  message.head.nlmsg_type = RTM_DELLINK;
  message.head.nlmsg_flags = NLM_F_REQUEST;
  message.attribute.nla_len = sizeof message.attribute + sizeof message.name;
  message.attribute.nla_type = IFLA_IFNAME;
  text_copy(message.name, sizeof message.name, name);
  SYS(sendto, fd, &message, sizeof message, 0, &kernel, sizeof kernel);
  SYS(close, fd);
}

/* Then somebody else has turned it on since, for all devices: it is theirs. */
static int whole_host_forwards(void) {
  char value = 0;
  long fd = SYS(openat, AT_FDCWD, "/proc/sys/net/ipv4/conf/all/forwarding", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  SYS(read, fd, &value, 1);
  SYS(close, fd);
  return value == '1';
}

static void stop_forwarding(const char *device) {
  if (whole_host_forwards()) return;
  char path[64 + NAME_MAX_BYTES];
  text_copy(path, sizeof path, "/proc/sys/net/ipv4/conf/");
  usize at = strlen(path);
  text_copy(path + at, sizeof path - at, device);
  at = strlen(path);
  text_copy(path + at, sizeof path - at, "/forwarding");
  long fd = SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  SYS(write, fd, "0", 1);
  SYS(close, fd);
}

/* Calls `act` for each member with a name that a device can have. */
static void each_member(long directory, void (*act)(long directory, const char *name)) {
  char buffer[4096];
  long n;
  while ((n = SYS(getdents64, directory, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < n;) {
      struct link_entry *entry = (struct link_entry *)(buffer + at);
      at += entry->length;
      if (entry->name[0] != '.' && strlen(entry->name) <= NAME_MAX_BYTES) act(directory, entry->name);
    }
}

static void stop_forwarding_of(long directory, const char *name) {
  if (text_equal(name, "lock")) return;
  stop_forwarding(name);
  SYS(unlinkat, directory, name, 0);
}

/*
 * A process that the owner was just making may hold the lock for a moment longer. The lock is kept until this process
 * ends, so that nobody begins to use what is being removed.
 */
static int lock_alone(long fd) {
  i64 pause[2] = {0, PAUSE_NS};
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (SYS(flock, fd, LOCK_ALONE) == 0) return 1;
    SYS(nanosleep, pause, NULL);
  }
  return 0;
}

static void remove_link(long directory, const char *name) {
  static char target[PATH_BYTES];
  long fd = SYS(openat, directory, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || !lock_alone(fd)) return;
  if (!text_equal(name, "forwarding")) {
    remove_device(name);
    return;
  }
  long size = SYS(readlinkat, directory, name, target, sizeof target - 1);
  while (size > 0 && target[size - 1] != '/') size--;
  if (size <= 0) return;
  target[size] = 0;
  long opened = SYS(openat, AT_FDCWD, target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened >= 0) each_member(opened, stop_forwarding_of);
}

void remove_links(const char *directory) {
  long fd = SYS(openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) each_member(fd, remove_link);
}
