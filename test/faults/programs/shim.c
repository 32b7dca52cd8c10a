/*
 * To be preloaded: lets one call of the addon to the C library fail. Whoever else calls, Node above all, is not looked
 * at. CAISSON_FAULTS names the control file.
 */
#define _GNU_SOURCE
#include "control.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static struct control *control;
static uintptr_t from, to; /* the code of the addon */

static int is_addon(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size, (void)data;
  const char *name = strrchr(info->dlpi_name, '/');
  if (!name || strcmp(name, "/caisson.node") != 0) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    from = info->dlpi_addr + part->p_vaddr;
    to = from + part->p_memsz;
  }
  return 1;
}

/* Whether this call is the one to fail. */
static int fails(const char *name, void *caller) {
  if (!control || !__atomic_load_n(&control->armed, __ATOMIC_SEQ_CST)) return 0;
  if (!to) dl_iterate_phdr(is_addon, NULL);
  if ((uintptr_t)caller < from || (uintptr_t)caller >= to) return 0;
  uint32_t number = control_count(control);
  if (number <= CALLS_MAX) strncpy(control->name[number - 1], name, NAME_SIZE - 1);
  if (number != control->at) return 0;
  control->failed = 1;
  errno = (int)control->error;
  return 1;
}

/* Result, name, parameters, arguments; one that fails gives -1. */
#define CALLS(CALL)                                                                                                    \
  CALL(int, pipe2, (int ends[2], int flags), (ends, flags))                                                            \
  CALL(int, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends))             \
  CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol))                                    \
  CALL(int, epoll_create1, (int flags), (flags))                                                                       \
  CALL(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event))                 \
  CALL(int, timerfd_create, (int clock, int flags), (clock, flags))                                                    \
  CALL(int, timerfd_settime, (int fd, int flags, const struct itimerspec *to, struct itimerspec *was),                 \
       (fd, flags, to, was))                                                                                           \
  CALL(int, dup3, (int fd, int to, int flags), (fd, to, flags))                                                        \
  CALL(int, mkdir, (const char *path, mode_t mode), (path, mode))                                                      \
  CALL(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))                                        \
  CALL(int, rmdir, (const char *path), (path))                                                                         \
  CALL(int, unlink, (const char *path), (path))                                                                        \
  CALL(int, unlinkat, (int at, const char *path, int flags), (at, path, flags))                                        \
  CALL(int, rename, (const char *path, const char *to), (path, to))                                                    \
  CALL(int, symlink, (const char *target, const char *path), (target, path))                                           \
  CALL(int, kill, (pid_t pid, int signal), (pid, signal))                                                              \
  CALL(int, flock, (int fd, int operation), (fd, operation))                                                           \
  CALL(int, unshare, (int flags), (flags))                                                                             \
  CALL(int, sched_setscheduler, (pid_t pid, int policy, const struct sched_param *param), (pid, policy, param))        \
  CALL(int, fstatat, (int at, const char *path, struct stat *status, int flags), (at, path, status, flags))            \
  CALL(int, fstatfs, (int fd, struct statfs *status), (fd, status))                                                    \
  CALL(ssize_t, pread, (int fd, void *bytes, size_t size, off_t at), (fd, bytes, size, at))                            \
  CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))                     \
  CALL(ssize_t, send, (int socket, const void *bytes, size_t size, int flags), (socket, bytes, size, flags))           \
  CALL(ssize_t, sendmsg, (int socket, const struct msghdr *what, int flags), (socket, what, flags))                    \
  CALL(ssize_t, recvmsg, (int socket, struct msghdr *what, int flags), (socket, what, flags))

#define WRAP(result, name, parameters, arguments)            \
  static result(*real_##name) parameters;                    \
  result name parameters {                                   \
    if (fails(#name, __builtin_return_address(0))) return -1; \
    return real_##name arguments;                            \
  }
CALLS(WRAP)

/* Those with arguments that depend on others. */
#define WORDS_OF(last)   \
  long word[6];          \
  va_list list;          \
  va_start(list, last);  \
  for (int i = 0; i < 6; i++) word[i] = va_arg(list, long); \
  va_end(list)

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_fcntl)(int, int, ...);
static int (*real_ioctl)(int, unsigned long, ...);
static long (*real_syscall)(long, ...);
static int (*real_eventfd)(unsigned, int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);
static DIR *(*real_opendir)(const char *);
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int open(const char *path, int flags, ...) {
  WORDS_OF(flags);
  return fails("open", __builtin_return_address(0)) ? -1 : real_open(path, flags, word[0]);
}
int openat(int at, const char *path, int flags, ...) {
  WORDS_OF(flags);
  return fails("openat", __builtin_return_address(0)) ? -1 : real_openat(at, path, flags, word[0]);
}
int fcntl(int fd, int command, ...) {
  WORDS_OF(command);
  return fails("fcntl", __builtin_return_address(0)) ? -1 : real_fcntl(fd, command, word[0]);
}
int ioctl(int fd, unsigned long request, ...) {
  WORDS_OF(request);
  return fails("ioctl", __builtin_return_address(0)) ? -1 : real_ioctl(fd, request, word[0]);
}
long syscall(long number, ...) {
  WORDS_OF(number);
  /* These do not fail where they are used. */
  int certain = number == SYS_waitid || number == SYS_rt_sigprocmask;
  char name[NAME_SIZE];
  snprintf(name, sizeof name, "%ld", number);
  if (!certain && fails(name, __builtin_return_address(0))) return -1;
  return real_syscall(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
static char is_event[1024];

int eventfd(unsigned count, int flags) {
  int fd = fails("eventfd", __builtin_return_address(0)) ? -1 : real_eventfd(count, flags);
  if (fd >= 0 && fd < (int)sizeof is_event) is_event[fd] = 1;
  return fd;
}
/* What is written to an eventfd by us always fits. */
ssize_t write(int fd, const void *bytes, size_t size) {
  int event = fd >= 0 && fd < (int)sizeof is_event && is_event[fd] && size == sizeof(uint64_t);
  return !event && fails("write", __builtin_return_address(0)) ? -1 : real_write(fd, bytes, size);
}
/* Nor is there an error that reading a pipe can give. */
ssize_t read(int fd, void *bytes, size_t size) {
  struct stat status;
  int certain = fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
  return !certain && fails("read", __builtin_return_address(0)) ? -1 : real_read(fd, bytes, size);
}
DIR *opendir(const char *path) {
  return fails("opendir", __builtin_return_address(0)) ? NULL : real_opendir(path);
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  if (fails("pthread_create", __builtin_return_address(0))) return errno;
  return real_pthread_create(thread, attributes, body, argument);
}

/* All at once: the addon also calls between clone and exec, where nothing can be looked up. */
__attribute__((constructor)) static void start(void) {
#define FIND(result, name, parameters, arguments) REAL(name);
#define REAL(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)
  CALLS(FIND)
  REAL(open), REAL(openat), REAL(fcntl), REAL(ioctl), REAL(syscall), REAL(opendir), REAL(eventfd), REAL(read), REAL(write), REAL(pthread_create);
  const char *path = getenv("CAISSON_FAULTS");
  if (path) control = control_map(path);
}
