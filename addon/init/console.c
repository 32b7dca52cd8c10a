/*
 * A terminal of the container's own devpts. The slave is taken from the master's descriptor (TIOCGPTPEER), never by a
 * path that the image could have prepared (CVE-2025-52565), and the master goes to the owner.
 */
#include "context.h"

#include <asm/termios.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <linux/tty.h>
#include <asm/ioctls.h>

int op_console(struct context *c, const struct operation *op) {
  int pts = slot_get(c, op->number[0]);
  if (pts < 0) return pts;
  int master = (int)tried(c, "openat", "/dev/pts/ptmx",
                          SYS(openat, pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (master < 0) return master;
  int unlock = 0;
  int r = (int)tried(c, "ioctl", "TIOCSPTLCK", SYS(ioctl, master, TIOCSPTLCK, &unlock));
  if (r < 0) return r;
  int slave = (int)tried(c, "ioctl", "TIOCGPTPEER",
                         SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (slave < 0) return slave;
  struct winsize size = {
      .ws_row = (u16)(op->number[2] & 0xffff),
      .ws_col = (u16)(op->number[2] >> 16 & 0xffff),
  };
  if (size.ws_row && (r = (int)tried(c, "ioctl", "TIOCSWINSZ", SYS(ioctl, master, TIOCSWINSZ, &size))) < 0)
    return r;
  r = (int)tried(c, "fchown", "terminal", SYS(fchown, slave, c->uid, -1));
  if (r < 0) return r;

  if (op->number[1] != PLAN_NONE) {
    int dev = slot_get(c, op->number[1]);
    if (dev < 0) return dev;
    int console = (int)tried(c, "openat", "/dev/console",
                             SYS(openat, dev, "console",
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (console < 0) return console;
    SYS(close, console);
    int mount = (int)tried(c, "open_tree", "/dev/console",
                           SYS(open_tree, slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    if (mount < 0) return mount;
    r = (int)tried(c, "move_mount", "/dev/console",
                   SYS(move_mount, mount, "", dev, "console", MOVE_MOUNT_F_EMPTY_PATH));
    SYS(close, mount);
    if (r < 0) return r;
  }

  for (int fd = 0; fd < 3; fd++) SYS(dup3, slave, fd, 0);
  SYS(close, slave);
  struct message message = {.type = MESSAGE_CONSOLE};
  r = (int)tried(c, "sendmsg", "terminal", control_send(c, &message, &master, 1));
  SYS(close, master);
  c->terminal = 1;
  return r;
}
