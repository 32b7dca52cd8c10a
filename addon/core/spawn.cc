#include "core/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>

#include "core/init_image.h"
#include "core/sys.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

namespace caisson {

namespace {

// As in linux/sched.h of 5.7; older headers have a shorter one.
struct CloneArguments {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// clone3 without a call: the child goes on with our stack, and would overwrite the address that a called function
// returns to. Returns a pid, 0 in the child, or a negative errno.
[[gnu::always_inline]] inline long clone3(CloneArguments* arguments) {
  long result;
#if defined(__x86_64__)
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments)
                   : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone3;
  register long x0 __asm__("x0") = reinterpret_cast<long>(arguments);
  register long x1 __asm__("x1") = sizeof *arguments;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  result = x0;
#else
#error "caisson knows the system calls of x86_64 and aarch64"
#endif
  return result;
}

// The same by clone(2): for where a filter around this process forbids clone3, whose flags it cannot see (Docker's
// default profile). What only clone3 has, the child does itself (become_init).
[[gnu::always_inline]] inline long plain_clone(const CloneArguments& arguments) {
  auto flags = static_cast<long>(static_cast<uint32_t>(arguments.flags) | arguments.exit_signal);
  auto pidfd = static_cast<long>(arguments.pidfd);
  long result;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = 0;
  register long r8 __asm__("r8") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_clone), "D"(flags), "S"(0L), "d"(pidfd), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
#else
  register long x8 __asm__("x8") = SYS_clone;
  register long x0 __asm__("x0") = flags;
  register long x1 __asm__("x1") = 0;
  register long x2 __asm__("x2") = pidfd;
  register long x3 __asm__("x3") = 0;
  register long x4 __asm__("x4") = 0;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  result = x0;
#endif
  return result;
}

// Whether the call itself is refused, and not what was asked of it: a kernel that has it takes no arguments of size 0.
bool clone3_refused() { return syscall(SYS_clone3, nullptr, 0) < 0 && (errno == ENOSYS || errno == EPERM); }

// Found out at the first refusal, then known.
std::atomic<bool> without_clone3 = false;

// Shared with the child, which runs in our memory until it executes.
struct Child {
  int init;
  int procs;  // cgroup.procs of the cgroup to enter; -1: it is born there
  const int* fds;
  int count;
  char* arguments[3];
  char* environment[1];
  volatile int error;
  const char* volatile syscall;
};

void fail(Child* child, const char* name) {
  child->error = errno;
  child->syscall = name;
  _exit(125);
}

// Runs between clone and exec in the memory of the suspended parent thread: system calls only, and none of a sanitizer's
// own, which would take the descriptor table for ours. That is a copy, so it may be rearranged.
[[noreturn]] __attribute__((noinline)) void become_init(Child* child) {
  // Signals stay blocked until the exec, which resets their handlers (as CLONE_CLEAR_SIGHAND does).
  if (child->procs >= 0 && syscall(SYS_write, child->procs, "0", 1) < 0) fail(child, "write");
  // Out of the way of the targets 0..count-1, wherever a source lies among them.
  int moved[SPAWN_FDS_MAX];
  for (int i = 0; i < child->count; i++) {
    moved[i] = child->fds[i];
    if (moved[i] >= child->count) continue;
    moved[i] = fcntl(moved[i], F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
    if (moved[i] < 0) fail(child, "fcntl");
  }
  int init = child->init;
  if (init < child->count && (init = fcntl(init, F_DUPFD_CLOEXEC, SPAWN_FDS_MAX)) < 0) fail(child, "fcntl");
  for (int i = 0; i < child->count; i++)
    if (syscall(SYS_dup3, moved[i], i, 0) < 0) fail(child, "dup3");
  // Whatever else is open, by whomever and with whatever flags, ends with the exec (CVE-2024-21626).
  if (syscall(SYS_close_range, child->count, ~0U, CLOSE_RANGE_CLOEXEC) < 0) fail(child, "close_range");
  syscall(SYS_execveat, init, "", child->arguments, child->environment, AT_EMPTY_PATH);
  fail(child, "execveat");
  __builtin_unreachable();
}

}  // namespace

Result<Spawned> spawn(const SpawnOptions& options) {
  auto image = init_image();
  if (!image) return image.failure();
  if (options.fds.size() > SPAWN_FDS_MAX) return failed("process", "spawn", "descriptors", E2BIG);

  Fd cgroup;
  if (!options.cgroup.empty()) {
    cgroup.reset(open(options.cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!cgroup) return failed("cgroup", "open", options.cgroup);
  }

  Child child = {};
  child.init = *image;
  child.procs = -1;
  child.fds = options.fds.data();
  child.count = static_cast<int>(options.fds.size());
  char name[] = "caisson-init";
  child.arguments[0] = name;
  child.arguments[1] = const_cast<char*>(options.mode);

  int pidfd = -1;
  CloneArguments arguments = {};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | options.namespaces;
  arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (cgroup) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(cgroup.get());
  }

  // No handler of this process may run in the child; the mask passes through exec, the init program opens it.
  uint64_t all = ~0ULL, before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  // The child shares this stack while we are suspended: it only goes deeper, and never returns.
  long pid = -ENOSYS;
  bool old = without_clone3;
  if (!old) pid = clone3(&arguments);
  if (pid == 0) become_init(&child);
  Fd procs;
  if (old || ((pid == -ENOSYS || pid == -EPERM) && clone3_refused())) {
    without_clone3 = old = true;
    if (cgroup) procs.reset(openat(cgroup.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
    child.procs = procs.get();
    pid = cgroup && !procs ? -errno : plain_clone(arguments);
    if (pid == 0) become_init(&child);
  }
  int error = static_cast<int>(-pid);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);

  if (pid < 0) return failed("namespaces", old ? "clone" : "clone3", options.cgroup, error);
  Fd handle(pidfd);
  if (child.syscall != nullptr) {
    siginfo_t info;
    waitid(static_cast<idtype_t>(3) /* P_PIDFD */, handle.get(), &info, WEXITED);
    return failed("process", child.syscall, "caisson-init", child.error);
  }
  return Spawned{static_cast<pid_t>(pid), std::move(handle)};
}

pid_t child_not_told(const plan_header& plan) {
  auto pid = static_cast<pid_t>(plan.child);
  siginfo_t info;
  // It is a child of ours, or was reaped by another part of this program.
  if (pid <= 0 || waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) < 0) return 0;
  kill(pid, SIGKILL);
  return pid;
}

}  // namespace caisson
