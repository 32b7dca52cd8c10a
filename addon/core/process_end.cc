// How a process ends: what is learned of it, and what is taken away. All on the supervisor's thread.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/marked.h"
#include "core/process.h"
#include "core/rooms.h"
#include "core/sys.h"
#include "core/threads.h"
#include "core/watchdog.h"

namespace caisson {

namespace {

using std::chrono::milliseconds;

constexpr auto TRACED_LIMIT = milliseconds(200);
constexpr int CLEAN_ATTEMPTS = 500;
constexpr auto BLIND_PAUSE = milliseconds(10);

// Processes whose end was told, while something is left of them; and who waits until there are none.
int leaving = 0;
std::vector<std::function<void()>> waiting_for_gone;

// struct pidfd_info of linux/pidfd.h, as far as it went when it came to have an exit code (Linux 6.15).
struct PidfdInfo {
  uint64_t mask, cgroup;
  uint32_t ids[11];
  int32_t exit_code;
};
constexpr uint64_t INFO_EXIT = 1 << 3;

// Of a process that its parent has waited for; nothing before that, or where the kernel does not tell.
std::optional<int> status_of(int pidfd) {
  PidfdInfo info = {};
  info.mask = INFO_EXIT;
  if (ioctl(pidfd, _IOWR(0xff, 11, PidfdInfo), &info) < 0 || !(info.mask & INFO_EXIT)) return std::nullopt;
  return info.exit_code;
}

// Waits for a process of which nothing is wanted any more.
class Reaper final : public Supervisor::Source {
 public:
  static void reap(Fd pidfd) {
    auto* reaper = new Reaper(std::move(pidfd));
    if (!Supervisor::shared().add(reaper->pidfd_.get(), EPOLLIN, reaper)) reaper->ready(0);
  }

  void ready(uint32_t) override {
    siginfo_t info;
    waitid(static_cast<idtype_t>(3) /* P_PIDFD */, pidfd_.get(), &info, WEXITED);
    Supervisor::shared().remove(pidfd_.get(), this);
    delete this;
  }

 private:
  explicit Reaper(Fd pidfd) : pidfd_(std::move(pidfd)) {}
  Fd pidfd_;
};

}  // namespace

void Process::watch_exit() {
  if (exit_.start(EPOLLIN)) return;
  give_up("epoll_ctl", errno);
  look_for_exit();
}

void Process::look_for_exit() {
  Supervisor::shared().at(Supervisor::Clock::now() + BLIND_PAUSE, [this, self = self_] {
    if (ended_) return;
    on_exit(0);
    look_for_exit();
  });
}

void Process::on_exit(uint32_t) {
  exited_at_ = Supervisor::Clock::now();
  hear();
  read_control();
  if (!exit_.fd) return;
  siginfo_t info = {};
  if (syscall(SYS_waitid, 3 /* P_PIDFD */, exit_.fd.get(), &info, WEXITED | WNOHANG, &report_.usage) < 0) {
    info.si_code = 0;  // another part of this program reaped it: the status is lost, the end is not
  } else if (info.si_pid == 0) {
    return;  // the descriptor of a process that went ahead; the next one is watched now
  }
  if (start_anew()) return;
  report_.code = info.si_code;
  report_.status = info.si_status;
  if (kept_status_) take_status(*kept_status_);
  finish();
}

// One that waited, and was killed before it looked at its plan, by whoever ends what he does not know: another one takes
// its place, once.
bool Process::start_anew() {
  if (!ahead_ || followed_ || report_.failure || report_.cause != Cause::None || !has_come_to(PLAN_UNTOUCHED)) return false;
  for (int i = 0; i < 2; i++)
    if (!theirs_[i + 1] && output_[i].writer() < 0) return false;
  if (std::exchange(anew_, true)) return false;
  attached_ = false;
  {
    std::lock_guard lock(pidfd_mutex_);
    exit_.stop();
  }
  {
    std::lock_guard lock(control_mutex_);
    control_.stop();
  }
  Threads::quick().post([this] {
    auto other = std::make_shared<std::optional<Parked>>(park_another(*options_.room));
    Supervisor::shared().post([this, other] { go_on(std::move(*other)); });
  });
  return true;
}

void Process::go_on(std::optional<Parked> other) {
  attached_ = true;
  if (pending_ != Cause::None) kill_now(pending_);
  options_.room->parked = std::move(other);
  if (!options_.room->parked || report_.cause != Cause::None) return finish();
  // The one before may have had them from the start.
  if (!theirs_[0]) theirs_[0].reset(open("/dev/null", O_RDWR | O_CLOEXEC));
  std::array<int, 3> stdio;
  for (int i = 0; i < 3; i++) stdio[i] = theirs_[i] ? theirs_[i].get() : i > 0 ? output_[i - 1].writer() : -1;
  auto given = stdio[0] >= 0 ? hand_over(stdio) : failed("process", "open", "/dev/null");
  if (!given) {
    report_.failure = given.failure();
    return finish();
  }
  if (!control_.start(EPOLLIN)) give_up("epoll_ctl", errno);
  watch_exit();
}

// As wait(2) gives it.
void Process::take_status(int status) {
  report_.code = WIFEXITED(status) ? CLD_EXITED : CLD_KILLED;
  report_.status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

// Whoever traces a program hears of its end before its parent does, and need not pass that on. A guest that traces what
// is executed in its container could so keep us waiting for ever.
void Process::on_program_gone(uint32_t) {
  exited_at_ = Supervisor::Clock::now();
  gone_.stop();
  // While who attends to it is on its way.
  collect();
  // It need not be waited for; its own processor time, which would be counted where there is no other count, is of no
  // interest then.
  bool counted = !report_.collected.empty() && report_.collected[0].find("user_usec") != std::string::npos;
  if (auto status = counted ? status_of(program_.get()) : std::nullopt) {
    read_control();
    take_status(*status);
    Supervisor::shared().remove(exit_.fd.get(), &exit_);
    Fd attendant;
    {
      std::lock_guard lock(pidfd_mutex_);
      attendant = std::move(exit_.fd);
    }
    Reaper::reap(std::move(attendant));
    return finish();
  }
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
  {
    std::lock_guard lock(control_mutex_);
    control_.stop();
  }
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
  // Whoever waits for the report comes first; of the container only empty cgroups are left.
  if (resumed_ && options_.kill_rest && report_.cause == Cause::None) tell();
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

void Process::tell() {
  told_ = true;
  leaving++;
  listener_->ended(std::exchange(report_, {}));
}

void Process::when_gone(std::function<void()> done) {
  Supervisor::shared().post([done = std::move(done)] {
    if (leaving == 0) return done();
    waiting_for_gone.push_back(done);
  });
}

void Process::end() {
  // Now, and not when the last who holds this lets go of it: JavaScript does so when it likes.
  plan_.reset();
  theirs_ = {};
  control_.fd.reset();
  their_end_.reset();
  options_.inherited.clear();
  for (Stdio& stdio : options_.stdio) stdio.fd.reset();
  log_.reset();
  if (!told_)
    listener_->ended(std::move(report_));
  else if (--leaving == 0)
    for (auto& done : std::exchange(waiting_for_gone, {})) done();
  // Whoever waits for the report comes first.
  if (options_.room) leave_room(std::move(*options_.room));
  options_.room.reset();
  if (!started_ || ahead_ || unheard_) refill_rooms();
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
