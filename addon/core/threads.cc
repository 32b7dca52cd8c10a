#include "core/threads.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <thread>

namespace caisson {

namespace {

constexpr size_t STACK = 256 << 10;

void* run_body(void* argument) {
  std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

void start_thread(std::function<void()> body) {
  auto owned = std::make_unique<std::function<void()>>(std::move(body));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, run_body, owned.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error) throw std::system_error(error, std::generic_category(), "pthread_create");
  owned.release();
}

// Never destroyed: the threads may still wait in them while the process exits.
Threads& Threads::quick() {
  static auto* threads = new Threads(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u)));
  return *threads;
}

Threads& Threads::slow() {
  static auto* threads = new Threads(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u)));
  return *threads;
}

void Threads::post(std::function<void()> work) { post(std::move(work), limit_); }

void Threads::post_to_existing(std::function<void()> work) { post(std::move(work), 1); }

void Threads::post(std::function<void()> work, int limit) {
  std::unique_lock lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ == 0 && started_ < limit) {
    start_thread([this] { run(); });
    started_++;
    return;
  }
  // Whoever wakes needs the lock first.
  lock.unlock();
  wake_.notify_one();
}

void Threads::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    idle_++;
    wake_.wait(lock, [this] { return !queue_.empty(); });
    idle_--;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

}  // namespace caisson
