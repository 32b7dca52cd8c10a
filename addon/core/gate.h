// How many containers are being set up at a time: more of them than processors are none the faster, and whoever else
// wants a processor, the event loop above all, waits behind them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace caisson {

class Gate {
 public:
  static Gate& shared() {
    static auto* gate = new Gate();  // its threads may wait in it while the process exits
    return *gate;
  }

  void enter() {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [this] { return inside_ < limit_; });
    inside_++;
  }

  // Without waiting; false: there is no place.
  bool try_enter() {
    std::lock_guard lock(mutex_);
    return inside_ < limit_ && ++inside_;
  }

  void leave() {
    std::lock_guard lock(mutex_);
    inside_--;
    free_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  const unsigned limit_ = std::max(2u, 2 * std::thread::hardware_concurrency());
  unsigned inside_ = 0;
};

}  // namespace caisson
