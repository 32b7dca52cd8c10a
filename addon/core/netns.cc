#include "core/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>

#include "core/sys.h"
#include "core/threads.h"

namespace caisson {

namespace {

// Each holds about 200 kB of kernel memory.
constexpr size_t STOCK_MIN = 2, STOCK_MAX = 8;
constexpr auto IDLE = std::chrono::seconds(5);

// A thread that changes its namespace over and over, and does nothing else. It works when nobody else wants the
// processor (SCHED_IDLE, sched(7)), unless somebody waits for what it makes.
class Stock {
 public:
  static Stock& shared() {
    static auto* stock = new Stock();  // its thread may wait in it while the process exits
    return *stock;
  }

  Result<Fd> take() {
    std::unique_lock lock(mutex_);
    if (!running_) {
      start_thread([this] { run(); });
      running_ = true;
    }
    waiting_++;
    last_ = std::chrono::steady_clock::now();
    target_ = std::clamp(stock_.empty() ? target_ * 2 : target_, STOCK_MIN, STOCK_MAX);
    work_.notify_one();
    if (stock_.empty()) yield_to_others(false);
    made_.wait(lock, [this] { return !stock_.empty(); });
    waiting_--;
    Result<Fd> first = std::move(stock_.front());
    stock_.pop_front();
    work_.notify_one();
    return first;
  }

  bool drop() {
    std::deque<Result<Fd>> gone;
    std::lock_guard lock(mutex_);
    if (waiting_ > 0) return false;
    target_ = 0;
    gone.swap(stock_);
    return !gone.empty();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    thread_ = gettid();
    for (;;) {
      yield_to_others(waiting_ == 0);
      bool idle = !work_.wait_for(lock, IDLE, [this] { return stock_.size() < std::max(target_, waiting_); });
      if (idle && std::chrono::steady_clock::now() - last_ > IDLE) {
        target_ = STOCK_MIN;
        while (stock_.size() > target_) stock_.pop_back();
      }
      if (idle) continue;
      lock.unlock();
      auto made = make_network_namespace();
      bool good = static_cast<bool>(made);
      lock.lock();
      // A failure is for whoever waits; it is not kept for later.
      if (good || waiting_ > stock_.size()) stock_.push_back(std::move(made));
      if (!good && waiting_ == 0) target_ = 0;
      made_.notify_all();
    }
  }

  void yield_to_others(bool yield) {
    if (yield == yields_ || thread_ == 0) return;
    sched_param none = {};
    if (sched_setscheduler(thread_, yield ? SCHED_IDLE : SCHED_OTHER, &none) == 0) yields_ = yield;
  }

  std::mutex mutex_;
  std::condition_variable work_, made_;
  std::deque<Result<Fd>> stock_;
  std::chrono::steady_clock::time_point last_;
  size_t target_ = STOCK_MIN, waiting_ = 0;
  bool running_ = false, yields_ = false;
  pid_t thread_ = 0;
};

}  // namespace

Result<Fd> make_network_namespace() {
  if (unshare(CLONE_NEWNET) < 0) return failed("namespaces: net", "unshare");
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("network", "socket");
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return failed("network", "ioctl", "lo");
  // These belong to the namespace of the thread that opens them.
  const std::pair<const char*, const char*> settings[] = {
      {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
      {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
  };
  for (auto [path, value] : settings)
    if (!sys::write_file(path, value)) return failed("network", "write", path);
  Fd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd) return failed("namespaces: net", "open", "/proc/thread-self/ns/net");
  return fd;
}

Result<Fd> take_network_namespace() { return Stock::shared().take(); }

bool drop_network_namespaces() { return Stock::shared().drop(); }

}  // namespace caisson
