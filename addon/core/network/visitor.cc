#include "core/network/visitor.h"

#include <fcntl.h>
#include <sched.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "core/fd.h"
#include "core/threads.h"

namespace caisson {

namespace {

struct Visit {
  int netns;
  const std::function<Result<>()>* work;
  std::optional<Result<>> result{};
};

class Visitor {
 public:
  Result<> go(int netns, const std::function<Result<>()>& work) {
    Visit visit = {netns, &work};
    std::unique_lock lock(mutex_);
    queue_.push_back(&visit);
    if (!running_) {
      start_thread([this] { run(); });
      running_ = true;
    }
    asked_.notify_one();
    done_.wait(lock, [&] { return visit.result.has_value(); });
    return *visit.result;
  }

 private:
  void run() {
    Fd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    std::unique_lock lock(mutex_);
    for (bool at_home = true; at_home;) {
      asked_.wait(lock, [this] { return !queue_.empty(); });
      Visit* visit = queue_.front();
      queue_.pop_front();
      lock.unlock();
      Result<> result = Nothing{};
      if (!home || setns(visit->netns, CLONE_NEWNET) < 0) {
        result = failed("namespaces: net", "setns");
      } else {
        result = (*visit->work)();
        // Who does not come home works no more; the next visit gets another thread.
        at_home = setns(home.get(), CLONE_NEWNET) == 0;
      }
      lock.lock();
      visit->result = std::move(result);
      done_.notify_all();
    }
    running_ = false;
    if (queue_.empty()) return;
    start_thread([this] { run(); });
    running_ = true;
  }

  std::mutex mutex_;
  std::condition_variable asked_, done_;
  std::deque<Visit*> queue_;
  bool running_ = false;
};

}  // namespace

Result<> visit(int netns, const std::function<Result<>()>& work) {
  static auto* visitor = new Visitor();  // its thread may wait in it while the process exits
  return visitor->go(netns, work);
}

}  // namespace caisson
