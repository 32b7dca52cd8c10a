// From the core's threads to one JavaScript environment (the main thread, or a worker_thread).
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace caisson {

class Mailbox {
 public:
  using Letter = std::function<void(Napi::Env)>;

  // The one of this environment; made at first use, closed when the environment ends.
  static std::shared_ptr<Mailbox> of(Napi::Env env);

  // From any thread. Dropped when the environment is gone.
  void post(Letter letter);

  // JavaScript thread: called once when the environment ends, if `alive` is still there.
  void at_end(std::weak_ptr<void> alive, std::function<void()> action);

  // JavaScript thread: while held, the event loop stays alive.
  void hold();
  void release();

 private:
  explicit Mailbox(Napi::Env env);
  static void deliver(napi_env env, napi_value, void* context, void*);
  void close();

  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;
  bool closed_ = false;
  std::atomic<int> waking_ = 0;  // threads between the lock and the function
  std::vector<Letter> letters_;
  int held_ = 0;
  std::list<std::pair<std::weak_ptr<void>, std::function<void()>>> endings_;
  napi_env env_;
};

}  // namespace caisson
