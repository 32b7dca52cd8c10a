// What others ask of a process, from any thread: it is done on the supervisor's.
#include <fcntl.h>

#include <cstddef>
#include <utility>

#include "core/message.h"
#include "core/process.h"
#include "core/shortage.h"
#include "core/sys.h"

namespace caisson {

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
    if (process->started_) process->listener_->started(process->pid_);
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

void Process::detach(int stream, std::function<void(Fd, std::string)> done) {
  Supervisor::shared().post([process = shared_from_this(), stream, done = std::move(done)] {
    Capture& capture = process->output_[stream];
    Fd fd = capture.detach();
    done(std::move(fd), std::move(capture.bytes));
  });
}

void Process::resume(std::string plan, std::array<Stdio, 3> stdio, std::string input, RunLimits limits) {
  auto shared = std::make_shared<std::array<Stdio, 3>>(std::move(stdio));
  Supervisor::shared().post([process = shared_from_this(), plan = std::move(plan), shared, input = std::move(input),
                             limits]() mutable { process->resume_now(plan, std::move(*shared), std::move(input), limits); });
}

void Process::resume_now(const std::string& plan, std::array<Stdio, 3> stdio, std::string input, RunLimits limits) {
  if (ended_ || !control_.fd) return;
  options_.stdio = std::move(stdio);
  options_.input = std::move(input);
  options_.limits = limits;
  std::array<Fd, 3> theirs;
  auto connected = connect(&theirs);
  auto made = make_plan(plan);
  message go = {};
  go.type = MESSAGE_GO;
  if (!connected || !made ||
      !send_message(control_.fd.get(), go, {made->get(), theirs[0].get(), theirs[1].get(), theirs[2].get()})) {
    report_.failure = !connected ? connected.failure() : !made ? made.failure() : failed("pool", "sendmsg");
    return kill_now(Cause::Stopped);
  }
  parked_ = false;
  plan_ = std::move(*made);
  if (options_.kill_rest && options_.own_pids) {
    keep_writers(&theirs);
    // While the program starts: so it is not its end that takes the mounts down. Nobody else needs them gone.
    options_.room.emplace();
    options_.room->namespaces.emplace_back(
        open(("/proc/" + std::to_string(pid_) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  }
  attach_streams();
}

void Process::take_control(std::function<void(Fd)> done) {
  Supervisor::shared().post([process = shared_from_this(), done = std::move(done)] {
    Fd fd = std::move(process->control_.fd);
    if (fd) Supervisor::shared().remove(fd.get(), &process->control_);
    done(std::move(fd));
  });
}

}  // namespace caisson
