#include "core/supervisor.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

#include "core/threads.h"

namespace caisson {

namespace {

constexpr auto LONGEST_SLEEP = std::chrono::milliseconds(60'000);

}  // namespace

Supervisor& Supervisor::shared() {
  static auto* supervisor = new Supervisor();  // never destroyed, its thread lives on while the process exits
  return *supervisor;
}

Supervisor& Supervisor::traffic() {
  static auto* supervisor = new Supervisor();
  return *supervisor;
}

Supervisor::Supervisor() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_) throw std::system_error(errno, std::generic_category(), "epoll");
  add(wake_.get(), EPOLLIN, nullptr);
  late_.fd.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (late_.fd && !add(late_.fd.get(), EPOLLIN, &late_)) late_.fd.reset();
  start_thread([this] { run(); });
}

void Supervisor::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    if (std::exchange(woken_, true)) return;
  }
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void Supervisor::post_quietly(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  posted_.push_back(std::move(work));
}

bool Supervisor::add_with(const std::vector<std::pair<int, Source*>>& sources, std::function<void()> work,
                          Clock::duration patience) {
  // All under the lock: when the work is seen the sources are there, and when one of them has an event the work is.
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < sources.size(); i++) {
    if (add(sources[i].first, EPOLLIN, sources[i].second)) continue;
    const int error = errno;
    while (i-- > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, sources[i].first, nullptr);
    errno = error;
    return false;
  }
  posted_.push_back(std::move(work));
  wake_in(patience);
  return true;
}

// Under the lock: for what was posted, unless it is done before.
void Supervisor::wake_in(Clock::duration time) {
  auto due = Clock::now() + time;
  if (late_.due <= due) return;
  late_.due = due;
  const itimerspec soon = {{}, {0, std::chrono::nanoseconds(time).count()}};
  const uint64_t now = 1;
  if (timerfd_settime(late_.fd.get(), 0, &soon, nullptr) < 0) (void)!write(wake_.get(), &now, sizeof now);
}

bool Supervisor::add(int fd, uint32_t events, Source* source) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = source;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Supervisor::remove(int fd, Source* source) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  removed_.push_back(source);
}

Supervisor::Timer Supervisor::at(Clock::time_point when, std::function<void()> work) {
  Timer timer{when, ++next_timer_};
  timers_.emplace(timer, std::move(work));
  return timer;
}

void Supervisor::cancel(const Timer& timer) { timers_.erase(timer); }

void Supervisor::run_posted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    woken_ = false;
    const itimerspec never = {};
    if (std::exchange(late_.due, Clock::time_point::max()) != Clock::time_point::max())
      timerfd_settime(late_.fd.get(), 0, &never, nullptr);
    work.swap(posted_);
  }
  for (auto& item : work) item();
}

void Supervisor::stay_awake(Clock::duration time) {
  // On a single processor nobody else could do anything meanwhile.
  static const bool several = std::thread::hardware_concurrency() > 1;
  if (several) awake_until_ = Clock::now() + time;
}

int Supervisor::wait(epoll_event* events, int size, std::chrono::milliseconds timeout) {
  while (awake_until_ != Clock::time_point()) {
    if (int count = epoll_wait(epoll_.get(), events, size, 0); count != 0) return count;
    if (Clock::now() > awake_until_) awake_until_ = {};
    // Whoever we wait for may have been put on this processor.
    sched_yield();
  }
  return epoll_wait(epoll_.get(), events, size, static_cast<int>(timeout.count()));
}

void Supervisor::run() {
  epoll_event events[64];
  for (;;) {
    auto timeout = LONGEST_SLEEP;
    if (!timers_.empty())
      timeout = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now()),
                           std::chrono::milliseconds(0), LONGEST_SLEEP);
    int count = wait(events, 64, timeout);
    removed_.clear();
    // Before the work is taken: whoever posts more after that writes again.
    uint64_t ignored;
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == nullptr) (void)!read(wake_.get(), &ignored, sizeof ignored);
      if (events[i].data.ptr == &late_) (void)!read(late_.fd.get(), &ignored, sizeof ignored);
    }
    run_posted();
    for (int i = 0; i < count; i++) {
      auto* source = static_cast<Source*>(events[i].data.ptr);
      if (source != nullptr && std::find(removed_.begin(), removed_.end(), source) == removed_.end())
        source->ready(events[i].events);
    }
    while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
      auto work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
    }
  }
}

}  // namespace caisson
