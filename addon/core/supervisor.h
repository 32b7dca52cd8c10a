// One thread that waits for everything at once: ends of processes, their pipes and control sockets, timers.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "core/fd.h"

namespace caisson {

class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;

  static Clock::duration span(double ms) { return std::chrono::microseconds(static_cast<int64_t>(ms * 1000)); }
  static Clock::time_point after(double ms) { return Clock::now() + span(ms); }
  using Timer = std::pair<Clock::time_point, uint64_t>;

  // Something with a descriptor. It must stay alive until it is removed.
  class Source {
   public:
    virtual void ready(uint32_t events) = 0;

   protected:
    ~Source() = default;
  };

  static Supervisor& shared();
  // Another, for what passes through published ports and resolvers: it may be much, and nothing else waits for it.
  static Supervisor& traffic();

  // From any thread: run on the supervisor's.
  void post(std::function<void()> work);
  // The same before the next event that comes, and wakes nobody: at the latest after a minute.
  void post_quietly(std::function<void()> work);
  // Adds sources, for EPOLLIN; `work` is run before the first event of any, and wakes nobody for itself unless none comes for
  // `patience`, of less than a second. False with errno set: there are none, and it is not run.
  bool add_with(const std::vector<std::pair<int, Source*>>& sources, std::function<void()> work, Clock::duration patience);

  // From any thread, when the source is ready for its events.
  bool add(int fd, uint32_t events, Source* source);

  // The rest: on the supervisor's thread only.
  // Also forgets events of it that were already fetched.
  void remove(int fd, Source* source);
  Timer at(Clock::time_point when, std::function<void()> work);
  void cancel(const Timer& timer);
  // Something more is about to come: looks for it so long before it sleeps. Waking up would cost more than that.
  void stay_awake(Clock::duration time);

 private:
  // Wakes for work that no event came for.
  struct Late final : Source {
    Fd fd;
    Clock::time_point due = Clock::time_point::max();  // never
    void ready(uint32_t) override {}
  };

  Supervisor();
  void run();
  void wake_in(Clock::duration time);
  void run_posted();
  int wait(epoll_event* events, int size, std::chrono::milliseconds timeout);

  Fd epoll_, wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  bool woken_ = false;
  Late late_;
  std::map<Timer, std::function<void()>> timers_;
  uint64_t next_timer_ = 0;
  Clock::time_point awake_until_;
  std::vector<Source*> removed_;
};

}  // namespace caisson
