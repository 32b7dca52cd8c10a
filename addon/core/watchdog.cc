#include "core/watchdog.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/spawn.h"
#include "core/supervisor.h"
#include "core/sys.h"
#include "core/threads.h"

namespace caisson {

namespace {

class Watchdog : public Supervisor::Source {
 public:
  explicit Watchdog(std::vector<std::string> list) : list_(std::move(list)) {}

  Result<> start() {
    Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    Fd owner(sys::pidfd_open(getpid()));
    Fd list(static_cast<int>(syscall(SYS_memfd_create, "caisson-watch", MFD_CLOEXEC)));
    if (!null || !owner || !list) return failed("watchdog", "open");
    std::string text;
    for (const std::string& line : list_) text += line + "\n";
    if (write(list.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      return failed("watchdog", "write");
    SpawnOptions options;
    options.mode = "watch";
    options.fds = {null.get(), null.get(), null.get(), owner.get(), list.get()};
    auto spawned = spawn(options);
    if (!spawned) return spawned.failure();
    process_ = std::move(spawned->pidfd);
    Supervisor::shared().post([this] { Supervisor::shared().add(process_.get(), EPOLLIN, this); });
    return Nothing{};
  }

  // Somebody killed it: a new one, at most a few times a second.
  void ready(uint32_t) override {
    siginfo_t info;
    waitid(static_cast<idtype_t>(3) /* P_PIDFD */, process_.get(), &info, WEXITED);
    Supervisor::shared().remove(process_.get(), this);
    process_.reset();
    Supervisor::shared().at(Supervisor::Clock::now() + std::chrono::milliseconds(100),
                            [this] { Threads::quick().post([this] { (void)!!start(); }); });
  }

 private:
  const std::vector<std::string> list_;
  Fd process_;
};

}  // namespace

Result<> watchdog_start(std::vector<std::string> list) {
  auto* watchdog = new Watchdog(std::move(list));  // lives as long as the process
  return watchdog->start();
}

}  // namespace caisson
