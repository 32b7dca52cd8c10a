// What others ask of a process, from any thread: it is done on the supervisor's.
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

#include "core/message.h"
#include "core/process.h"
#include "core/shortage.h"
#include "core/sys.h"

namespace caisson {

namespace {

// Bytes.
constexpr size_t SHORT_PLAN = 64 << 10;

}  // namespace

void Process::kill(Cause cause) {
  Supervisor::shared().post([process = shared_from_this(), cause] { process->kill_now(cause); });
}

void Process::signal(int number) {
  Supervisor::shared().post([process = shared_from_this(), number] {
    if (!process->started_) process->early_signals_.push_back(number);
    // Who attends to the program has other uses for signals.
    if (process->attached_ && (process->program_ || !process->options_.born_outside)) process->send_signal(number);
  });
}

void Process::ask_started() {
  Supervisor::shared().post([process = shared_from_this()] {
    if (process->ended_ || !std::exchange(process->options_.limits.quiet, false)) return;
    if (process->started_) return process->listener_->started(process->pid_);
    process->hear();
  });
}

int Process::duplicate_pidfd() {
  std::lock_guard lock(pidfd_mutex_);
  const Fd& of = program_ ? program_ : exit_.fd;
  if (!of) return -ESRCH;
  int duplicate = with_descriptors([&] { return fcntl(of.get(), F_DUPFD_CLOEXEC, 0); });
  return duplicate < 0 ? -errno : duplicate;
}

void Process::go() {
  Supervisor::shared().post([process = shared_from_this()] {
    if (!process->control_.fd) return;
    message what = {};
    what.type = MESSAGE_GO;
    what.value = static_cast<uint32_t>(process->pid_);
    // Hooks in the container are told the process id as it is seen from here.
    (void)!pwrite(process->plan_.get(), &what.value, sizeof what.value, offsetof(plan_header, pid));
    send_message(process->control_.fd.get(), what);
  });
}

void Process::add_cgroup(std::string directory) {
  Supervisor::shared().post([process = shared_from_this(), directory = std::move(directory)] {
    process->options_.cgroup.legacy.push_back(directory);
    if (process->ended_) rmdir(directory.c_str());
  });
}

void Process::limit_memory(std::string oom_control) {
  Supervisor::shared().post([process = shared_from_this(), oom_control = std::move(oom_control)] {
    if (process->ended_ || !process->options_.oom_control.empty()) return;
    process->options_.oom_control = oom_control;
    // Where there is no descriptor for the event, the counter tells at the end.
    process->oom_told_ = true;
    if (process->watch_oom()) process->oom_.start(EPOLLIN);
  });
}

void Process::detach(int stream, std::function<void(Fd, std::string)> done) {
  Supervisor::shared().post([process = shared_from_this(), stream, done = std::move(done)] {
    Capture& capture = process->output_[stream];
    Fd fd = capture.detach();
    done(std::move(fd), std::move(capture.bytes));
  });
}

void Process::resume(std::string plan, std::array<Stdio, 3> stdio, std::string input, RunLimits limits) {
  auto rest = std::make_shared<Rest>(Rest{std::move(plan), std::move(stdio), std::move(input), limits});
  // From here, so that nobody has to wake up for it; but with large files in it, it would take the caller's time.
  if (rest->plan.size() <= SHORT_PLAN) return hand_over_rest(rest);
  Supervisor::shared().post([process = shared_from_this(), rest] { process->hand_over_rest(rest); });
}

// From any thread.
void Process::hand_over_rest(const std::shared_ptr<Rest>& rest) {
  auto fail = [this](Failure failure) {
    Supervisor::shared().post([process = shared_from_this(), failure = std::move(failure)] {
      process->report_.failure = failure;
      process->kill_now(Cause::Stopped);
    });
  };
  std::array<Fd, 3> theirs;
  rest->own_streams = !has_streams(rest->stdio);
  if (rest->own_streams)
    if (auto done = connect(&rest->stdio, &theirs); !done) return fail(done.failure());
  auto made = make_plan(rest->plan);
  if (!made) return fail(made.failure());
  rest->plan_fd = std::move(*made);
  std::vector<int> fds = {rest->plan_fd.get()};
  if (rest->own_streams) fds.insert(fds.end(), {theirs[0].get(), theirs[1].get(), theirs[2].get()});
  const bool alone = options_.kill_rest && options_.own_pids;
  for (int i = 0; alone && i < 2; i++)
    if (rest->stdio[i + 1].kind == Stdio::Kind::Capture) rest->writers[i] = std::move(theirs[i + 1]);
  message go = {};
  go.type = MESSAGE_GO;
  {
    std::lock_guard lock(control_mutex_);
    if (!control_.fd) return;
    // No timer of its own is set before it has begun.
    rest->unheard = their_end_ && !rest->own_streams && may_be_unheard(rest->limits) && rest->limits.wall_ms <= 0 &&
                    rest->plan.size() <= SHORT_PLAN;
    if (!rest->unheard) their_end_.reset();
    rest->given_at = Supervisor::Clock::now();
    Supervisor::shared().post_quietly([process = shared_from_this(), rest] { process->resumed(rest.get()); });
    if (!send_message(control_.fd.get(), go, fds)) return fail(failed("pool", "sendmsg"));
  }
  if (alone) keep_mounts();
}

// Of its own from the start, such as are wanted.
bool Process::has_streams(const std::array<Stdio, 3>& wanted) const {
  for (int i = 0; i < 3; i++) {
    auto kind = wanted[i].kind;
    if (kind != options_.stdio[i].kind || (kind != Stdio::Kind::Null && kind != Stdio::Kind::Capture)) return false;
  }
  return true;
}

// Whether its execution is of no interest at once: nothing is to be done for it, and when it was is noted. Whoever was
// woken by it would be put on the program's processor, and be in the way of its end.
bool Process::may_be_unheard(const RunLimits& limits) const {
  const bool kept_together = options_.kill_rest && options_.own_pids && !options_.cgroup.unified.empty();
  return kept_together && limits.quiet && limits.cpu_ms <= 0;
}

// From now on its execution tells of itself, also when it was before.
void Process::hear() {
  std::lock_guard lock(control_mutex_);
  their_end_.reset();
}

// While the program starts: so it is not its end that takes the mounts down. Nobody else needs them gone.
void Process::keep_mounts() {
  auto room = std::make_shared<Room>();
  room->namespaces.emplace_back(open(("/proc/" + std::to_string(pid_) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  Supervisor::shared().post_quietly([process = shared_from_this(), room] {
    if (process->ended_) return leave_room(std::move(*room));
    process->options_.room = std::move(*room);
  });
}

void Process::resumed(Rest* rest) {
  if (ended_) return;
  options_.input = std::move(rest->input);
  options_.limits = rest->limits;
  plan_ = std::move(rest->plan_fd);
  unheard_ = rest->unheard;
  given_at_ = rest->given_at;
  parked_ = false;
  resumed_ = true;
  for (Capture& output : output_) output.limit = rest->limits.capture;
  if (!rest->own_streams) return;
  for (Capture& output : output_) output.detach();
  options_.stdio = std::move(rest->stdio);
  writers_ = std::move(rest->writers);
  attach_streams();
}

void Process::take_control(std::function<void(Fd)> done) {
  Supervisor::shared().post([process = shared_from_this(), done = std::move(done)] {
    std::unique_lock lock(process->control_mutex_);
    Fd fd = std::move(process->control_.fd);
    lock.unlock();
    if (fd) Supervisor::shared().remove(fd.get(), &process->control_);
    done(std::move(fd));
  });
}

}  // namespace caisson
