// What ends a program before its time: bounds of processor time, output and memory, and whoever kills it.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/cgroup.h"
#include "core/marked.h"
#include "core/process.h"
#include "core/sys.h"

namespace caisson {

namespace {

using std::chrono::milliseconds;

// How often it is looked whether the kernel has killed: while it chooses, and while it writes to a slow console.
constexpr int OOM_LOOKS = 40;
constexpr int OOM_LOOKS_AT_ONCE = 20;
constexpr auto OOM_SOON = milliseconds(1);
constexpr auto OOM_LATER = milliseconds(50);

}  // namespace

// cgroup v1 kills one process when memory runs out; as with memory.oom.group of v2, the rest follows.
Result<> Process::watch_oom() {
  if (options_.oom_control.empty()) return Nothing{};
  std::string directory = options_.oom_control.substr(0, options_.oom_control.rfind('/'));
  Fd control(open(options_.oom_control.c_str(), O_RDONLY | O_CLOEXEC));
  if (!control) return failed("cgroup", "open", options_.oom_control);
  oom_.fd.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!oom_.fd) return failed("cgroup", "eventfd");
  std::string text = std::to_string(oom_.fd.get()) + " " + std::to_string(control.get());
  if (!sys::write_file(directory + "/cgroup.event_control", text))
    return failed("cgroup", "write", directory + "/cgroup.event_control");
  return Nothing{};
}

// Looks again when the limit could be reached at the earliest: with every processor at work.
void Process::check_cpu() {
  if (ended_) return;
  double used_ms = (cgroup_cpu_used_us(options_.cpu_file) - cpu_before_us_) / 1000;
  double left = options_.limits.cpu_ms - used_ms;
  if (left <= 0) return kill_now(Cause::Cpu);
  static const long processors = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  timers_.push_back(
      Supervisor::shared().at(Supervisor::after(std::max(2.0, left / static_cast<double>(processors))), [this] { check_cpu(); }));
}

void Process::on_output(int stream, const char* bytes, size_t size) {
  if (log_) return log_->add(stream, bytes, size);
  captured_ += size;
  if (captured_ > options_.limits.capture) {
    report_.truncated = true;
    kill_now(Cause::Output);
  }
}

void Process::on_input(uint32_t events) {
  while (input_written_ < options_.input.size() && !(events & EPOLLERR)) {
    ssize_t n = write(input_.fd.get(), options_.input.data() + input_written_, options_.input.size() - input_written_);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) break;  // nobody reads it any more
    input_written_ += n;
  }
  input_.stop();
  options_.input.clear();
  options_.input.shrink_to_fit();
}

void Process::on_oom(uint32_t) {
  uint64_t count;
  if (read(oom_.fd.get(), &count, sizeof count) < 0) return;
  oom_told_ = true;
  if (oom_looks_ == 0) look_for_oom();
}

// The event alone is no reason to end anything: the kernel tells before it looks for memory once more, and tells all
// below the group whose limit is reached. The counter goes up before the signal is sent.
void Process::look_for_oom() {
  if (ended_ || report_.cause != Cause::None) return;
  if (oom_killed()) return kill_now(Cause::Oom);
  if (++oom_looks_ > OOM_LOOKS) {
    oom_looks_ = 0;
    return;
  }
  auto pause = oom_looks_ <= OOM_LOOKS_AT_ONCE ? OOM_SOON : OOM_LATER;
  timers_.push_back(Supervisor::shared().at(Supervisor::Clock::now() + pause, [this] { look_for_oom(); }));
}

bool Process::oom_killed() {
  uint64_t count;
  oom_told_ = oom_told_ || (oom_.fd && read(oom_.fd.get(), &count, sizeof count) > 0);
  return oom_told_ && cgroup_oom_kills(options_.oom_control) > 0;
}

void Process::kill_now(Cause cause) {
  if (ended_) return;
  if (!attached_) {
    if (pending_ == Cause::None) pending_ = cause;
    return;
  }
  if (report_.cause == Cause::None) report_.cause = cause;
  kill_all();
}

void Process::kill_all() {
  // Never the guard itself: whom it guards would be alone.
  if (options_.guarded) sys::pidfd_send_signal(exit_.fd.get(), SIGTERM);
  if (cgroup_kill(options_.cgroup)) return;
  if (!options_.guarded || program_) send_signal(SIGKILL);
  if (mark_ != 0) kill_marked(mark_);
}

bool Process::send_signal(int number) {
  const Fd& to = program_ ? program_ : exit_.fd;
  return to && sys::pidfd_send_signal(to.get(), number);
}

}  // namespace caisson
