// Long work on one thread of its own, which can be cancelled.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "core/fault.h"

namespace caisson {

class Task {
 public:
  using Work = std::function<void(const std::atomic<bool>& cancelled)>;
  // Called on the task's thread when the work has ended.
  using End = std::function<void(std::optional<Fault>)>;

  // `stop` is called by cancel(), for work that waits. Throws std::system_error when there are no threads left.
  static std::shared_ptr<Task> start(Work work, End end, std::function<void()> stop = nullptr);

  // From any thread.
  void cancel();

 private:
  explicit Task(std::function<void()> stop) : stop_(std::move(stop)) {}

  const std::function<void()> stop_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace caisson
