#include "core/errand.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <chrono>

#include "core/message.h"
#include "core/spawn.h"
#include "core/supervisor.h"
#include "core/sys.h"
#include "init/plan.h"

namespace caisson {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto LIMIT = std::chrono::seconds(10);

void reap(const Fd& pidfd) {
  siginfo_t info;
  waitid(static_cast<idtype_t>(3) /* P_PIDFD */, pidfd.get(), &info, WEXITED);
}

// Waits for the end of a process that is kept; deletes itself then.
class Mourner final : public Supervisor::Source {
 public:
  static void attend(Fd pidfd) {
    auto* mourner = new Mourner(std::move(pidfd));
    Supervisor::shared().post([mourner] { Supervisor::shared().add(mourner->pidfd_.get(), EPOLLIN, mourner); });
  }

  void ready(uint32_t) override {
    reap(pidfd_);
    Supervisor::shared().remove(pidfd_.get(), this);
    delete this;
  }

 private:
  explicit Mourner(Fd pidfd) : pidfd_(std::move(pidfd)) {}
  Fd pidfd_;
};

plan_header header_of(const Fd& plan) {
  plan_header header = {};
  (void)!pread(plan.get(), &header, sizeof header, 0);
  return header;
}

// The process on the errand: ended and reaped with this object, unless it is let go.
class Runner {
 public:
  Runner(Spawned spawned, const Fd& plan) : pid_(spawned.pid), pidfd_(std::move(spawned.pidfd)), plan_(plan) {}
  Runner(const Runner&) = delete;
  ~Runner() {
    if (!pidfd_) return;
    // It is not reaped, so its number is still its own.
    if (sys::pidfd_send_signal(pidfd_.get(), SIGKILL) < 0) kill(pid_, SIGKILL);
    reap(pidfd_);
    pid_t child = followed_ ? 0 : child_not_told(header_of(plan_));
    siginfo_t info;
    if (child > 0) waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
  }

  pid_t pid() const { return pid_; }

  // The first process only went ahead; this one was born in the pid namespace.
  void follow(pid_t pid, Fd pidfd) {
    reap(pidfd_);
    followed_ = true;
    pid_ = pid;
    pidfd_ = std::move(pidfd);
  }

  void keep() { Mourner::attend(std::move(pidfd_)); }

 private:
  pid_t pid_;
  Fd pidfd_;
  const Fd& plan_;
  bool followed_ = false;
};

Result<Fd> memory_file(const std::string& content) {
  Fd fd(static_cast<int>(syscall(SYS_memfd_create, "caisson-plan", MFD_CLOEXEC)));
  if (!fd) return failed("process", "memfd_create");
  if (write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    return failed("process", "write", "plan");
  return fd;
}

// 1: a message, 0: the other end is closed, -1: errno, ETIMEDOUT among them.
int await_message(const Fd& control, Clock::time_point deadline, message* what, std::vector<Fd>* fds) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return errno = ETIMEDOUT, -1;
    pollfd poll = {control.get(), POLLIN, 0};
    int ready = ::poll(&poll, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return -1;
    if (ready <= 0) continue;
    int got = receive_message(control.get(), what, fds);
    if (got >= 0 || errno != EAGAIN) return got;
  }
}

int progress(const Fd& plan) {
  return static_cast<int>(header_of(plan).progress);
}

bool say_go(const Fd& control, const Runner& runner) {
  message go = {};
  go.type = MESSAGE_GO;
  go.value = static_cast<uint32_t>(runner.pid());
  return send_message(control.get(), go);
}

Result<Errand> collect(const ErrandOptions& options, const Runner& runner) {
  Errand errand;
  std::string base = "/proc/" + std::to_string(runner.pid()) + "/";
  for (const std::string& name : options.open) {
    errand.opened.emplace_back(open((base + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!errand.opened.back()) return failed("namespaces", "open", base + name);
  }
  for (const std::string& name : options.read) errand.texts.push_back(sys::read_file(base + name));
  return errand;
}

}  // namespace

Result<Errand> run_errand(ErrandOptions options) {
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return failed("process", "open", "/dev/null");
  auto plan = memory_file(options.plan);
  if (!plan) return plan.failure();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return failed("process", "socketpair");
  Fd control(ends[0]), theirs(ends[1]);

  SpawnOptions spawning;
  spawning.namespaces = options.namespaces;
  spawning.cgroup = options.cgroup;
  spawning.fds = {null.get(), null.get(), null.get(), theirs.get(), plan->get()};
  for (const Fd& fd : options.inherited) spawning.fds.push_back(fd.get());
  auto spawned = spawn(spawning);
  if (!spawned) return spawned.failure();
  Runner runner(std::move(*spawned), *plan);
  theirs.reset();
  options.inherited.clear();

  bool unmapped = !options.maps.uid.empty();
  auto map = [&]() -> Result<> {
    unmapped = false;
    return write_id_maps(runner.pid(), options.maps);
  };
  std::vector<Probed> probed;
  std::vector<Fd> sockets;
  auto deadline = Clock::now() + LIMIT;
  for (;;) {
    message what;
    std::vector<Fd> fds;
    int got = await_message(control, deadline, &what, &fds);
    if (got <= 0) {
      Failure failure = failed("setup", "recvmsg", "", got < 0 ? errno : ECANCELED);
      failure.record = progress(*plan);
      return failure;
    }
    switch (what.type) {
      case MESSAGE_FAILED:
        return Failure{"setup", what.syscall, what.error, what.detail, static_cast<int>(what.record)};
      case MESSAGE_PROCESS: {
        // Where no descriptor comes along, the number is enough: until it is waited for, a child's is nobody else's.
        auto pid = static_cast<pid_t>(what.value);
        Fd pidfd = fds.empty() ? Fd(sys::pidfd_open(pid)) : std::move(fds[0]);
        if (pidfd) runner.follow(pid, std::move(pidfd));
        break;
      }
      case MESSAGE_SYNC:
        if (auto done = map(); !done) return done.failure();
        if (!say_go(control, runner)) return failed("process", "sendmsg", "go");
        break;
      case MESSAGE_PROBED:
        probed.push_back({what.error, what.value});
        break;
      case MESSAGE_SOCKET:
        sockets.push_back(fds.empty() ? Fd() : std::move(fds[0]));
        break;
      case MESSAGE_READY: {
        if (unmapped)
          if (auto done = map(); !done) return done.failure();
        auto errand = collect(options, runner);
        if (!errand) return errand;
        errand->probed = std::move(probed);
        errand->sockets = std::move(sockets);
        if (!options.keep) return errand;
        if (!say_go(control, runner)) return failed("process", "sendmsg", "go");
        runner.keep();
        errand->hold = std::move(control);
        return errand;
      }
      default:
        break;
    }
  }
}

}  // namespace caisson
