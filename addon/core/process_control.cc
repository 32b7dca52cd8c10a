// What the init program tells, and which process is watched then. All on the supervisor's thread.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "core/message.h"
#include "core/process.h"
#include "core/spawn.h"
#include "core/sys.h"

namespace caisson {

namespace {

using std::chrono::milliseconds;

constexpr auto REAP_PAUSE = milliseconds(10);
constexpr int REAP_ATTEMPTS = 500;
// Of one process; the init program says less than ten things.
constexpr int MESSAGES_MAX = 64;

// A child of ours that was killed, and that no descriptor leads to. No other can have its number before this.
void reap_later(pid_t pid, int attempt) {
  siginfo_t info = {};
  bool runs = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0;
  if (runs && attempt < REAP_ATTEMPTS)
    Supervisor::shared().at(Supervisor::Clock::now() + REAP_PAUSE, [=] { reap_later(pid, attempt + 1); });
}

}  // namespace

void Process::on_control(uint32_t) { read_control(); }

void Process::read_control() {
  while (control_.fd) {
    message what;
    std::vector<Fd> fds;
    pid_t sender = -1;
    int got = receive_message(control_.fd.get(), &what, &fds, &sender);
    if (got < 0 && errno == EAGAIN) break;
    // Who has taken its socket may talk without end, and this thread has others to listen to.
    if (got > 0 && ++messages_ > MESSAGES_MAX) {
      got = -1;
      errno = EPROTO;
    }
    if (got < 0 && !executed()) give_up("recvmsg", errno);
    if (got <= 0) {
      {
        std::lock_guard lock(control_mutex_);
        control_.stop();
      }
      if (executed()) on_executed();
      return;
    }
    switch (what.type) {
      case MESSAGE_FAILED:
        // After a failure of our own it only says that it was killed for that.
        if (!report_.failure)
          report_.failure =
              Failure{"setup", what.syscall, what.error, what.detail, static_cast<int>(what.record)};
        break;
      case MESSAGE_SYNC:
        leave_gate();
        listener_->synchronising(pid_);
        break;
      case MESSAGE_READY:
        // Nobody waits for what has a bound of its own; it must not get rid of that.
        if (options_.born_outside && options_.limits.wall_ms > 0) break;
        parked_ = true;
        leave_gate();
        listener_->ready();
        // What it says next may be about a plan that it gets by now (resumed): that comes with the next event.
        return;
      case MESSAGE_CONSOLE:
        if (fds.empty()) {
          give_up("recvmsg", EMFILE);
          break;
        }
        // Nothing else is a terminal for whoever gets it.
        if (std::exchange(terminal_, true) || !isatty(fds[0].get())) break;
        // Whoever reads and types does so on a thread that has other things to do.
        if (fcntl(fds[0].get(), F_SETFL, O_NONBLOCK | O_RDWR) < 0) {
          give_up("fcntl", errno);
          break;
        }
        if (log_) {
          output_[0].start(Fd(fcntl(fds[0].get(), F_DUPFD_CLOEXEC, 0)),
                           [this](const char* bytes, size_t size) { on_output(0, bytes, size); });
        }
        listener_->console(std::move(fds[0]));
        break;
      case MESSAGE_CHILD:
      case MESSAGE_PROCESS:
        on_process(what, sender, std::move(fds));
        break;
      default:
        break;
    }
  }
}

// Among the processes of a container a number is believed from the one that we made, which none of them has in its sight;
// of others the kernel says who they are. One that may trace what enters (CAP_SYS_PTRACE) can take its socket, and say
// anything; or, when it is the one that is followed by now, be made to. Nor is anybody waited for there who is said to have
// made way: the one that we made stays.
void Process::on_process(const message& what, pid_t sender, std::vector<Fd> fds) {
  if (options_.born_outside && what.type == MESSAGE_PROCESS) return;
  if (options_.born_outside && what.value != 0 && (sender != pid_ || program_)) return;
  const pid_t pid = what.value != 0 ? static_cast<pid_t>(what.value) : sender;
  const bool attended = what.type == MESSAGE_CHILD;
  followed_ = true;
  if (!fds.empty()) return follow(pid, std::move(fds[0]), attended);
  if (!attended) {
    give_up("recvmsg", EMFILE);
    ::kill(pid, SIGKILL);
    return reap_later(pid, 0);
  }
  // Who attends to it ends it, as its parent, and then itself: that one is not killed.
  report_.failure = failed("process", "recvmsg", "", EMFILE);
  given_up_ = true;
  if (report_.cause == Cause::None) report_.cause = Cause::Stopped;
  cgroup_kill(options_.cgroup);
  sys::pidfd_send_signal(exit_.fd.get(), SIGTERM);
}

void Process::follow(pid_t pid, Fd pidfd, bool attended) {
  if (attended || program_) {
    std::lock_guard lock(pidfd_mutex_);
    gone_.stop();
    if (!options_.guarded) {
      gone_.fd.reset(fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 0));
      gone_.start(EPOLLIN);
    }
    program_ = std::move(pidfd);
    pid_ = pid;
  } else {
    // The first process only went ahead; the one to watch was born in the pid namespace.
    siginfo_t info;
    waitid(static_cast<idtype_t>(3) /* P_PIDFD */, exit_.fd.get(), &info, WEXITED);
    std::lock_guard lock(pidfd_mutex_);
    exit_.stop();
    exit_.fd = std::move(pidfd);
    pid_ = pid;
    watch_exit();
  }
  // What was sent to the one before has died with it.
  for (int number : early_signals_) send_signal(number);
  if (report_.cause != Cause::None) kill_all();
  // Nobody tells it to go on.
  if (report_.failure) send_signal(SIGKILL);
}

// The first process was killed after it had made the next one, which is a child of ours, and before it told of that.
void Process::reap_untold() {
  // Only for a pid namespace of its own, into which nobody sees: others could have written down any number.
  if (options_.born_outside) return;
  plan_header header = {};
  if (followed_ || !plan_ || pread(plan_.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return;
  if (pid_t child = child_not_told(header); child > 0) reap_later(child, 0);
}

}  // namespace caisson
