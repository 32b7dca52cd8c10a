// How a process ends: what is learned of it, and what is taken away. All on the supervisor's thread.
#include <signal.h>
#include <sys/wait.h>

#include <cstddef>

#include "core/marked.h"
#include "core/process.h"
#include "core/rooms.h"
#include "core/sys.h"
#include "core/watchdog.h"

namespace caisson {

namespace {

using std::chrono::milliseconds;

constexpr auto TRACED_LIMIT = milliseconds(200);
constexpr int CLEAN_ATTEMPTS = 500;

}  // namespace

void Process::on_exit(uint32_t) {
  exited_at_ = Supervisor::Clock::now();
  read_control();
  if (!exit_.fd) return;
  siginfo_t info = {};
  if (syscall(SYS_waitid, 3 /* P_PIDFD */, exit_.fd.get(), &info, WEXITED | WNOHANG, &report_.usage) < 0) {
    info.si_code = 0;  // another part of this program reaped it: the status is lost, the end is not
  } else if (info.si_pid == 0) {
    return;  // the descriptor of a process that went ahead; the next one is watched now
  }
  report_.code = info.si_code;
  report_.status = info.si_status;
  if (kept_status_) {
    report_.code = WIFEXITED(*kept_status_) ? CLD_EXITED : CLD_KILLED;
    report_.status = WIFEXITED(*kept_status_) ? WEXITSTATUS(*kept_status_) : WTERMSIG(*kept_status_);
  }
  finish();
}

// Whoever traces a program hears of its end before its parent does, and need not pass that on. A guest that traces what
// is executed in its container could so keep us waiting for ever.
void Process::on_program_gone(uint32_t) {
  gone_.stop();
  // While who attends to it is on its way.
  collect();
  timers_.push_back(Supervisor::shared().at(Supervisor::Clock::now() + TRACED_LIMIT, [this] {
    if (ended_) return;
    std::string stat = sys::read_file("/proc/" + std::to_string(pid_) + "/stat");
    size_t last = stat.find_last_of(' ');
    kept_status_ = last == std::string::npos ? SIGKILL : atoi(stat.c_str() + last);
    sys::pidfd_send_signal(exit_.fd.get(), SIGKILL);
  }));
}

void Process::finish() {
  if (!started_ && executed()) on_executed();
  leave_gate();
  ended_ = true;
  watchdog_forget(this);
  reap_untold();
  {
    std::lock_guard lock(pidfd_mutex_);
    exit_.stop();
    gone_.stop();
    program_.reset();
  }
  control_.stop();
  input_.stop();
  // Whatever it did after that: where the kernel kills a group as a whole it could not have done it.
  if (report_.cause == Cause::None && oom_killed()) report_.cause = Cause::Oom;
  oom_.stop();
  for (auto& timer : timers_) Supervisor::shared().cancel(timer);
  timers_.clear();
  if (options_.kill_rest && !options_.own_pids) cgroup_kill(options_.cgroup);
  for (int i = 0; i < 2; i++) {
    output_[i].finish();
    if (!log_) report_.truncated |= output_[i].truncated;
    report_.output[i] = std::move(output_[i].bytes);
  }
  if (log_) log_->finish();
  if (started_ && !given_up_) {
    report_.failure.reset();
    report_.duration_ms = std::chrono::duration<double, std::milli>(exited_at_ - executed_at_).count();
  } else if (!report_.failure) {
    // Killed while it was being set up, by us or by the kernel.
    plan_header header = {};
    (void)!pread(plan_.get(), &header, sizeof header, 0);
    report_.failure = Failure{"setup", "", report_.cause == Cause::Stopped ? ETIMEDOUT : ECANCELED, "",
                              static_cast<int>(header.progress)};
  }
  collect();
  clean(0);
}

// The accounts, once.
void Process::collect() {
  if (report_.collected.empty())
    for (const std::string& path : options_.collect) report_.collected.push_back(sys::read_file(path, 1 << 20, true));
}

// The last process has left, but the kernel may need a moment until its cgroup can be removed.
void Process::clean(int attempt) {
  // Programs that a program has left running in the container may stay, unless it was killed.
  bool must_go = options_.kill_rest || report_.cause != Cause::None;
  if (!must_go && mark_ == 0) {
    // Below a container's, which stays: nobody waits for its removal.
    if (!options_.room) options_.room.emplace();
    options_.room->cgroup = std::move(options_.cgroup);
    return end();
  }
  bool left = !cgroup_remove(options_.cgroup) || (must_go && mark_ != 0 && kill_marked(mark_));
  if (left && must_go && attempt < CLEAN_ATTEMPTS) {
    Supervisor::shared().at(Supervisor::Clock::now() + milliseconds(attempt < 20 ? 1 : 10),
                            [this, attempt] { clean(attempt + 1); });
    return;
  }
  end();
}

void Process::end() {
  // Now, and not when the last who holds this lets go of it: JavaScript does so when it likes.
  plan_.reset();
  control_.fd.reset();
  options_.inherited.clear();
  for (Stdio& stdio : options_.stdio) stdio.fd.reset();
  log_.reset();
  listener_->ended(std::move(report_));
  // Whoever waits for the report comes first.
  if (options_.room) leave_room(std::move(*options_.room));
  options_.room.reset();
  if (!started_ || ahead_) refill_rooms();
  self_.reset();
}

void Process::conclude(std::optional<Failure> failure) {
  ended_ = true;
  leave_gate();
  report_.failure = std::move(failure);
  if (pending_ != Cause::None) report_.cause = pending_;
  oom_.fd.reset();
  clean(0);
}

}  // namespace caisson
