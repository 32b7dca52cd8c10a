#include "core/inventory/share.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/fault.h"

namespace caisson {

namespace {

constexpr unsigned THREADS_MAX = 4;

class Sharing {
 public:
  Sharing(size_t count, std::atomic<bool>& stopped) : count_(count), stopped_(stopped) {}

  void run(const std::function<std::function<void(size_t)>()>& each) {
    size_t at = count_;
    auto fault = guarded([&] {
      const auto work = each();
      for (at = next_++; at < count_ && !stopped_; at = next_++) work(at);
    });
    if (!fault) return;
    std::lock_guard lock(mutex_);
    // Whoever was stopped by another says no more than that.
    const bool was_stopped = fault->kind == Fault::Kind::Cancelled && stopped_;
    if (!fault_ || (at < where_ && !was_stopped)) {
      fault_ = std::move(fault);
      where_ = at;
    }
    stopped_ = true;
  }

  const std::optional<Fault>& fault() const { return fault_; }

 private:
  const size_t count_;
  std::atomic<bool>& stopped_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  std::optional<Fault> fault_;
  size_t where_ = 0;
};

}  // namespace

void share_out(size_t count, size_t worth, std::atomic<bool>& stopped,
               const std::function<std::function<void(size_t index)>()>& each) {
  Sharing sharing(count, stopped);
  const unsigned processors = std::clamp(std::thread::hardware_concurrency(), 1u, THREADS_MAX);
  const auto wanted = std::min<size_t>(processors, count / worth + 1);
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < wanted) others.emplace_back([&] { sharing.run(each); });
  } catch (const std::system_error&) {
    // Then with fewer.
  }
  sharing.run(each);
  for (std::thread& other : others) other.join();
  if (sharing.fault()) throw *sharing.fault();
}

}  // namespace caisson
