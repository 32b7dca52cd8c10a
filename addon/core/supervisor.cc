#include "core/supervisor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <system_error>

#include "core/threads.h"

namespace caisson {

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
  start_thread([this] { run(); });
}

void Supervisor::post(std::function<void()> work) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (first) {
    uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof one);
  }
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
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) item();
}

void Supervisor::run() {
  epoll_event events[64];
  for (;;) {
    int timeout = -1;
    if (!timers_.empty()) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
    }
    int count = epoll_wait(epoll_.get(), events, 64, timeout);
    removed_.clear();
    bool posted = false;
    for (int i = 0; i < count; i++) {
      auto* source = static_cast<Source*>(events[i].data.ptr);
      if (source == nullptr) {
        posted = true;
      } else if (std::find(removed_.begin(), removed_.end(), source) == removed_.end()) {
        source->ready(events[i].events);
      }
    }
    if (posted) run_posted();
    while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
      auto work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
    }
  }
}

}  // namespace caisson
