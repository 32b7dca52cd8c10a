/* The socket to the owner: packets, with descriptors beside them. */
#include "context.h"

#include <linux/poll.h>
#include <linux/socket.h>

/* As the kernel lays them out (linux/socket.h of the kernel itself, not exported). */
struct io_vector {
  void *base;
  usize length;
};
struct message_header {
  void *name;
  int name_length;
  struct io_vector *vectors;
  usize vector_count;
  void *control;
  usize control_length;
  u32 flags;
};
struct control_header {
  usize length;
  int level, type;
};

enum { LEVEL_SOCKET = 1, RIGHTS = 1, FDS_MAX = 64, FLAG_NOSIGNAL = 0x4000, FLAG_CMSG_CLOEXEC = 0x40000000 };

struct rights {
  struct control_header header;
  int fd[FDS_MAX];
};

static int transmit(struct context *c, const void *bytes, usize size, const int *fds, u32 count) {
  struct io_vector vector = {(void *)bytes, size};
  struct rights rights;
  struct message_header header = {.vectors = &vector, .vector_count = 1};
  if (c->control < 0 || count > FDS_MAX) return -E_INVAL;
  if (count) {
    rights.header.length = sizeof rights.header + count * sizeof(int);
    rights.header.level = LEVEL_SOCKET;
    rights.header.type = RIGHTS;
    memcpy(rights.fd, fds, count * sizeof(int));
    header.control = &rights;
    header.control_length = rights.header.length;
  }
  long r;
  do r = SYS(sendmsg, c->control, &header, FLAG_NOSIGNAL);
  while (r == -E_INTR);
  return r < 0 ? (int)r : 0;
}

int control_send(struct context *c, const struct message *message, const int *fds, u32 count) {
  return transmit(c, message, sizeof *message, fds, count);
}

int control_send_bytes(struct context *c, const void *bytes, usize size, int fd) {
  return transmit(c, bytes, size, &fd, fd >= 0);
}

/* The size received, or a negative errno; `found` descriptors are in `fds`; those beyond `limit` are closed. */
static int receive(struct context *c, void *bytes, usize size, int *fds, u32 limit, u32 *found) {
  struct io_vector vector = {bytes, size};
  struct rights rights;
  struct message_header header = {
      .vectors = &vector, .vector_count = 1, .control = &rights, .control_length = sizeof rights};
  long r;
  do r = SYS(recvmsg, c->control, &header, FLAG_CMSG_CLOEXEC);
  while (r == -E_INTR);
  *found = 0;
  if (r <= 0) return (int)r;
  u32 count = 0;
  if (header.control_length > sizeof rights.header && rights.header.type == RIGHTS)
    count = (u32)((rights.header.length - sizeof rights.header) / sizeof(int));
  for (u32 i = 0; i < count; i++)
    if (i < limit)
      fds[i] = rights.fd[i];
    else
      close_fd(rights.fd[i]);
  *found = count < limit ? count : limit;
  return (int)r;
}

int control_receive(struct context *c, struct message *message, int *fds, u32 limit) {
  u32 count;
  int r = receive(c, message, sizeof *message, fds, limit, &count);
  if (r == (int)sizeof *message) return (int)count;
  for (u32 i = 0; i < count; i++) close_fd(fds[i]);
  return r < 0 ? r : r == 0 ? -E_CONNRESET : -E_PROTO;
}

int control_receive_bytes(struct context *c, void *bytes, usize size, int *fd) {
  u32 count;
  int r = receive(c, bytes, size, fd, 1, &count);
  if (!count) *fd = -1;
  return r;
}

void fail(struct context *c, int error) {
  struct message message = {.type = MESSAGE_FAILED, .error = error, .record = c->record};
  text_copy(message.syscall, sizeof message.syscall, c->syscall ? c->syscall : "");
  text_copy(message.detail, sizeof message.detail, c->detail);
  control_send(c, &message, NULL, 0);
  quit(125);
}

int control_owner_gone(struct context *c) {
  struct pollfd poll = {.fd = c->control};
  struct {
    i64 seconds, nanoseconds;
  } none = {0, 0};
  return SYS(ppoll, &poll, 1, &none, 0, 0) > 0 && (poll.revents & POLLHUP);
}
