/*
 * landlock_as VERSION LOG COMMAND...: executes a command as under a kernel whose Landlock has an older interface
 * (landlock(7)). A filter hands landlock_create_ruleset(2) to this process, which answers as such a kernel does: with its
 * version, with an error to what it does not know. The rest is the real kernel's. What was asked for goes to LOG, a line
 * each: the three masks, and the errno that it was refused with or 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

enum { ASKS_VERSION = 1 };

struct attributes {
  uint64_t fs, net, scoped;
};

/* The rights of each version, as the kernel's documentation lists them: userspace-api/landlock, "Kernel support". */
static struct attributes known_to(int version) {
  struct attributes known = {0x1fff, 0, 0}; /* execute to make_sym */
  if (version >= 2) known.fs |= 1 << 13;    /* refer */
  if (version >= 3) known.fs |= 1 << 14;    /* truncate */
  if (version >= 4) known.net = 3;          /* bind_tcp, connect_tcp */
  if (version >= 5) known.fs |= 1 << 15;    /* ioctl_dev */
  if (version >= 6) known.scoped = 3;       /* abstract_unix_socket, signal */
  return known;
}

static size_t size_in(int version) { return version >= 6 ? 24 : version >= 4 ? 16 : 8; }

static int judge(int version, const struct attributes *asked, size_t size) {
  struct attributes known = known_to(version), longer = *asked;
  if (size < 8) return EINVAL;
  /* What lies behind the struct that such a kernel has must be nothing. */
  memset(&longer, 0, size_in(version) < sizeof longer ? size_in(version) : sizeof longer);
  if (longer.fs || longer.net || longer.scoped) return E2BIG;
  if ((asked->fs & ~known.fs) || (asked->net & ~known.net) || (asked->scoped & ~known.scoped)) return EINVAL;
  return asked->fs || asked->net || asked->scoped ? 0 : ENOMSG;
}

static void answer(int listener, int version, int log, struct seccomp_notif *call, struct seccomp_notif_resp *reply) {
  memset(call, 0, sizeof *call);
  memset(reply, 0, sizeof *reply);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call) < 0) return;
  reply->id = call->id;
  if (call->data.args[2] == ASKS_VERSION) {
    reply->val = version;
  } else {
    struct attributes asked = {0, 0, 0};
    size_t size = call->data.args[1] < sizeof asked ? call->data.args[1] : sizeof asked;
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%u/mem", call->pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    int error = memory >= 0 && pread(memory, &asked, size, (off_t)call->data.args[0]) == (ssize_t)size
                    ? judge(version, &asked, call->data.args[1])
                    : EFAULT;
    close(memory);
    int length = snprintf(line, sizeof line, "%llx %llx %llx %d\n", (unsigned long long)asked.fs,
                          (unsigned long long)asked.net, (unsigned long long)asked.scoped, error);
    if (write(log, line, (size_t)length) != length) error = EIO;
    reply->error = -error;
    reply->flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  }
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, reply);
}

static int send_fd(int socket, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fd)];
  } control = {.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  struct iovec byte = {"", 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

static int receive_fd(int socket) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  char none;
  struct iovec byte = {&none, 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && message.msg_controllen >= CMSG_LEN(sizeof fd))
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
  return fd;
}

static int filtered(int socket, char **command) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int listener =
      (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0 || send_fd(socket, listener) < 0) return perror("landlock_as: seccomp"), 125;
  close(listener);
  close(socket);
  execvp(command[0], command);
  perror(command[0]);
  return 127;
}

static volatile sig_atomic_t ended;
static void on_child(int signal) { (void)signal, ended = 1; }

int main(int count, char **arguments) {
  int ends[2];
  if (count < 4 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return 125;
  int version = atoi(arguments[1]), log = open(arguments[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct sigaction action = {.sa_handler = on_child};
  sigaction(SIGCHLD, &action, NULL);
  pid_t child = fork();
  if (child == 0) _exit(filtered(ends[1], arguments + 3));
  close(ends[1]);
  int listener = receive_fd(ends[0]), status = 0;
  /* Larger than these structs are here, where the kernel is newer than the headers. */
  static _Alignas(16) char call[1024], reply[1024];
  /* The end may come right before it would wait for a call. */
  for (struct pollfd wait = {.fd = listener, .events = POLLIN}; listener >= 0 && !ended;)
    if (poll(&wait, 1, 100) > 0) answer(listener, version, log, (struct seccomp_notif *)call, (struct seccomp_notif_resp *)reply);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
