#include "core/watchdog.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "core/message.h"
#include "core/spawn.h"
#include "core/supervisor.h"
#include "core/sys.h"
#include "core/threads.h"

namespace caisson {

namespace {

class Watchdog : public Supervisor::Source {
 public:
  // The one of this process; on the supervisor's thread.
  static Watchdog*& current() {
    static Watchdog* watchdog = nullptr;
    return watchdog;
  }

  void guard(const void* key, int pidfd) {
    guarded_[key] = pidfd;
    tell(pidfd);
  }

  void forget(const void* key) { guarded_.erase(key); }

  explicit Watchdog(std::vector<std::string> list) : list_(std::move(list)) {}

  Result<> start() {
    Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    Fd owner(sys::pidfd_open(getpid()));
    Fd list(static_cast<int>(syscall(SYS_memfd_create, "caisson-watch", MFD_CLOEXEC)));
    if (!null || !owner || !list) return failed("watchdog", "open");
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return failed("watchdog", "socketpair");
    Fd ours(ends[0]), theirs(ends[1]);
    std::string text;
    for (const std::string& line : list_) text += line + "\n";
    if (write(list.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      return failed("watchdog", "write");
    SpawnOptions options;
    options.mode = "watch";
    options.fds = {null.get(), null.get(), null.get(), owner.get(), list.get(), theirs.get()};
    auto spawned = spawn(options);
    if (!spawned) return spawned.failure();
    process_ = std::move(spawned->pidfd);
    auto socket = std::make_shared<Fd>(std::move(ours));
    Supervisor::shared().post([this, socket] {
      socket_ = std::move(*socket);
      current() = this;
      for (auto [key, pidfd] : guarded_) tell(pidfd);
      Supervisor::shared().add(process_.get(), EPOLLIN, this);
    });
    return Nothing{};
  }

  // Somebody killed it: a new one, at most a few times a second.
  void ready(uint32_t) override {
    siginfo_t info;
    waitid(static_cast<idtype_t>(3) /* P_PIDFD */, process_.get(), &info, WEXITED);
    Supervisor::shared().remove(process_.get(), this);
    process_.reset();
    socket_.reset();
    Supervisor::shared().at(Supervisor::Clock::now() + std::chrono::milliseconds(100),
                            [this] { Threads::quick().post([this] { (void)!!start(); }); });
  }

 private:
  void tell(int pidfd) {
    message what = {};
    what.type = MESSAGE_PROCESS;
    if (socket_) send_message(socket_.get(), what, {pidfd});
  }

  const std::vector<std::string> list_;
  std::map<const void*, int> guarded_;
  Fd process_, socket_;
};

}  // namespace

Result<> watchdog_start(std::vector<std::string> list) {
  auto* watchdog = new Watchdog(std::move(list));  // lives as long as the process
  return watchdog->start();
}

void watchdog_guard(const void* key, int pidfd) {
  if (Watchdog* watchdog = Watchdog::current()) watchdog->guard(key, pidfd);
}

void watchdog_forget(const void* key) {
  if (Watchdog* watchdog = Watchdog::current()) watchdog->forget(key);
}

}  // namespace caisson
