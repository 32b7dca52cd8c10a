// Threads of our own: what blocks runs here, never on the event loop and never on libuv's pool, which belongs to the
// application. They live as long as the process, because containers die with the thread that created them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace caisson {

class Threads {
 public:
  // For short work: creating processes, cgroup files.
  static Threads& quick();
  // For long work: reading and writing trees.
  static Threads& slow();

  void post(std::function<void()> work);
  // By one of those that are there: a new thread would get the priority of this one.
  void post_to_existing(std::function<void()> work);

 private:
  explicit Threads(int limit) : limit_(limit) {}
  void post(std::function<void()> work, int limit);
  void run();

  const int limit_;
  int started_ = 0;
  int idle_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
};

// A detached thread with a small stack and every signal blocked.
void start_thread(std::function<void()> body);

}  // namespace caisson
