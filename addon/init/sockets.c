/* Sockets of this network namespace for the owner, who may not enter it. Wherever they go, they stay of it. */
#include "context.h"

int op_socket(struct context *c, const struct operation *op) {
  struct message message = {.type = MESSAGE_SOCKET, .record = c->record};
  int fd = (int)tried(c, "socket", "", SYS(socket, op->number[0], op->number[1] | O_CLOEXEC, op->number[2]));
  if (fd < 0 && !(op->flags & PLAN_OPTIONAL)) return fd;
  if (fd < 0) message.error = -fd;
  int r = (int)tried(c, "sendmsg", "socket", control_send(c, &message, &fd, fd >= 0));
  close_fd(fd);
  return r;
}
