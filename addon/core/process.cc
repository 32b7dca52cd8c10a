#include "core/process.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>

#include "core/gate.h"
#include "core/marked.h"
#include "core/message.h"
#include "core/netns.h"
#include "core/shortage.h"
#include "core/spawn.h"
#include "core/sys.h"
#include "core/threads.h"
#include "core/watchdog.h"

namespace caisson {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds SETUP_LIMIT(60'000);
// Of a program that is to run for a shorter time, in a container whose programs can stop it on its way in.
constexpr milliseconds ENTRY_LIMIT(5'000);
// Nor does who is stopped there keep a place that others wait for.
constexpr auto GATE_LIMIT = milliseconds(100);
constexpr auto REFILL_LATER = milliseconds(5);
// After the start, nobody having said anything: until its timers are set.
constexpr auto PATIENCE = milliseconds(100);
// The same for one whose execution wakes nobody: a program that has not ended by then is heard of. Nor is one unheard that
// is to be ended before.
constexpr auto UNHEARD = milliseconds(3);
}  // namespace

std::shared_ptr<Process> Process::start(ProcessOptions options, std::unique_ptr<Listener> listener) {
  std::shared_ptr<Process> process(new Process(std::move(options), std::move(listener)));
  process->self_ = process;
  process->unheard_ = process->starts_unheard();
  const auto& room = process->options_.room;
  // Nothing in it waits, and nobody has to wake up for it.
  if (room && room->parked && Gate::shared().try_enter()) {
    process->launch();
    return process;
  }
  Threads::quick().post([process] {
    Gate::shared().enter();
    process->launch();
  });
  return process;
}

bool Process::starts_unheard() const {
  const auto wall = Supervisor::span(options_.limits.wall_ms);
  return !options_.parks && !options_.born_outside && options_.log.empty() && may_be_unheard(options_.limits) &&
         (wall <= wall.zero() || wall > UNHEARD);
}

// --- on a worker thread -----------------------------------------------------------------------------------------

// Gives the child's ends; ours are kept for attach().
Result<> Process::connect(std::array<Stdio, 3>* all, std::array<Fd, 3>* stdio) {
  for (int i = 0; i < 3; i++) {
    Stdio& wanted = (*all)[i];
    if (wanted.kind == Stdio::Kind::Given) {
      (*stdio)[i] = std::move(wanted.fd);
    } else if (wanted.kind == Stdio::Kind::Null) {
      (*stdio)[i].reset(with_descriptors([] { return open("/dev/null", O_RDWR | O_CLOEXEC); }));
      if (!(*stdio)[i]) return failed("process", "open", "/dev/null");
    } else {
      int ends[2];
      if (with_descriptors([&] { return pipe2(ends, O_CLOEXEC); }) < 0) return failed("process", "pipe2");
      bool child_reads = i == 0;
      (*stdio)[i].reset(ends[child_reads ? 0 : 1]);
      wanted.fd.reset(ends[child_reads ? 1 : 0]);
      // The supervisor's thread must never wait for one of them.
      if (fcntl(wanted.fd.get(), F_SETFL, O_NONBLOCK) < 0) return failed("process", "fcntl");
    }
  }
  return Nothing{};
}

Result<Fd> Process::make_plan(const std::string& plan) {
  Fd fd(static_cast<int>(with_descriptors([] { return syscall(SYS_memfd_create, "caisson-plan", MFD_CLOEXEC); })));
  if (!fd) return failed("process", "memfd_create");
  if (write(fd.get(), plan.data(), plan.size()) != static_cast<ssize_t>(plan.size()))
    return failed("process", "write", "plan");
  return fd;
}

Result<> Process::create() {
  if (auto done = perform(options_.prepare, false); !done) return done.failure();
  if (!options_.devices.empty())
    if (auto done = with_descriptors([&] { return restrict_devices(options_.cgroup.unified, options_.devices); }); !done)
      return done.failure();

  if (!options_.log.empty()) {
    log_.emplace(options_.log, options_.log_limit);
    if (auto done = with_descriptors([&] { return log_->open(); }); !done) return done.failure();
  }
  std::array<Fd, 3> stdio;
  if (!ahead_ || !takes_pipes_of(&*options_.room->parked, &stdio))
    if (auto done = connect(&options_.stdio, &stdio); !done) return done.failure();

  auto plan = make_plan(options_.plan);
  if (!plan) return plan.failure();
  plan_ = std::move(*plan);

  auto given = ahead_ ? hand_over({stdio[0].get(), stdio[1].get(), stdio[2].get()}) : spawn_init(stdio);
  if (!given) return given.failure();
  options_.inherited.clear();
  // The namespaces stay, and the mount that is in none: so it is neither the start nor the end of the program that takes
  // mounts down.
  if (options_.room && !options_.room->mounts.empty()) options_.room->mounts.resize(1);
  if (auto done = finish_steps(); !done) {
    report_.failure = done.failure();
    sys::pidfd_send_signal(exit_.fd.get(), SIGKILL);
  }
  // Held containers are many, and none needs this again.
  std::string().swap(options_.plan);
  std::vector<Step>().swap(options_.prepare);
  if ((options_.own_pids ? options_.kill_rest : options_.born_outside) && !log_) keep_writers(&stdio);
  if (ahead_) theirs_ = std::move(stdio);
  return Nothing{};
}

// Most want its output and nothing else: for them it has all three streams.
bool Process::takes_pipes_of(Parked* parked, std::array<Fd, 3>* stdio) {
  auto& wanted = options_.stdio;
  if (wanted[0].kind != Stdio::Kind::Null || wanted[1].kind != Stdio::Kind::Capture ||
      wanted[2].kind != Stdio::Kind::Capture)
    return false;
  for (int i = 0; i < 2; i++) {
    wanted[i + 1].fd = std::move(parked->readers[i]);
    (*stdio)[i + 1] = std::move(parked->writers[i]);
  }
  return true;
}

// To a process that has waited for it.
Result<> Process::hand_over(const std::array<int, 3>& stdio) {
  Parked& parked = *options_.room->parked;
  message go = {};
  go.type = MESSAGE_GO;
  std::vector<int> fds = {plan_.get()};
  if (stdio[0] >= 0) fds.insert(fds.end(), stdio.begin(), stdio.end());
  // Of one that was killed meanwhile its descriptor tells.
  if (!send_message(parked.control.get(), go, fds) && errno != EPIPE && errno != ECONNRESET)
    return failed("process", "sendmsg", "go");
  control_.fd = std::move(parked.control);
  pid_ = parked.pid;
  {
    std::lock_guard lock(pidfd_mutex_);
    exit_.fd = std::move(parked.pidfd);
  }
  options_.room->parked.reset();
  return Nothing{};
}

Result<> Process::spawn_init(const std::array<Fd, 3>& stdio) {
  given_at_ = Supervisor::Clock::now();
  int ends[2];
  if (with_descriptors([&] { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }) < 0)
    return failed("process", "socketpair");
  control_.fd.reset(ends[0]);
  Fd theirs(ends[1]);
  // Who was born in another pid namespace knows itself by another number; and there not everybody is believed.
  int on = 1;
  if (options_.born_outside && setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
    return failed("process", "setsockopt", "SO_PASSCRED");

  SpawnOptions spawning;
  spawning.namespaces = options_.namespaces;
  const CgroupPaths& cgroup = options_.cgroup;
  if (!options_.born_outside) spawning.cgroup = cgroup.entered.empty() ? cgroup.unified : cgroup.entered;
  spawning.fds = {stdio[0].get(), stdio[1].get(), stdio[2].get(), theirs.get(), plan_.get()};
  if (options_.room)
    for (const auto* fds : {&options_.room->namespaces, &options_.room->mounts})
      for (const Fd& fd : *fds) spawning.fds.push_back(fd.get());
  Fd network;
  if (options_.new_network) {
    auto taken = with_descriptors(take_network_namespace);
    if (!taken) return taken.failure();
    network = std::move(*taken);
    spawning.fds.push_back(network.get());
  }
  for (const std::string& path : options_.inherited_paths) {
    options_.inherited.emplace_back(with_descriptors([&] { return open(path.c_str(), O_PATH | O_CLOEXEC); }));
    if (!options_.inherited.back()) return failed("process", "open", path);
  }
  for (const Fd& fd : options_.inherited) spawning.fds.push_back(fd.get());
  auto spawned = with_descriptors([&] { return spawn(spawning); });
  if (!spawned) return spawned.failure();
  pid_ = spawned->pid;
  if (options_.parks || unheard_) {
    std::lock_guard lock(control_mutex_);
    their_end_ = std::move(theirs);
  }
  std::lock_guard lock(pidfd_mutex_);
  exit_.fd = std::move(spawned->pidfd);
  return Nothing{};
}

// The end of the process tells the end of its output: with all of its processes the last writer is gone; and of what an
// exec leaves behind nobody reads more.
void Process::keep_writers(std::array<Fd, 3>* stdio) {
  for (int i = 0; i < 2; i++)
    if (options_.stdio[i + 1].kind == Stdio::Kind::Capture) writers_[i] = std::move((*stdio)[i + 1]);
}

// What the process enters by itself is made while it is at work on other things.
Result<> Process::finish_steps() {
  if (auto done = perform(options_.prepare, true); !done) return done.failure();
  if (auto done = with_descriptors([this] { return watch_oom(); }); !done) return done.failure();
  if (!options_.awaits_steps) return Nothing{};
  message go = {};
  go.type = MESSAGE_GO;
  go.value = static_cast<uint32_t>(pid_);
  // One that has ended says itself why.
  if (!send_message(control_.fd.get(), go) && errno != EPIPE && errno != ECONNRESET)
    return failed("process", "sendmsg", "go");
  return Nothing{};
}

// In the gate.
void Process::launch() {
  in_gate_ = true;
  ahead_ = options_.room && options_.room->parked;
  auto created = create();
  if (!created) {
    auto concluded = [this, failure = created.failure()] { conclude(failure); };
    // Nobody is to be left in its cgroup.
    if (options_.room && options_.room->parked)
      Threads::quick().post([this, concluded] {
        options_.room->parked.reset();
        Supervisor::shared().post(concluded);
      });
    else
      Supervisor::shared().post(concluded);
    return;
  }
  // What it writes and its end, where its execution tells nobody.
  if (unheard_) attach_streams();
  // Whatever becomes of it, the socket tells: nobody needs to wake up before.
  std::vector<std::pair<int, Supervisor::Source*>> sources = {{control_.fd.get(), &control_}};
  if (unheard_) sources.emplace_back(exit_.fd.get(), &exit_);
  if (Supervisor::shared().add_with(sources, [this] { attach(); }, unheard_ ? UNHEARD : PATIENCE)) {
    // But not of the end of one whose other end of it is open here.
    if (options_.parks) Supervisor::shared().post([] {});
    return;
  }
  Supervisor::shared().post([this, error = errno] {
    attach();
    if (unheard_) watch_exit();
    give_up("epoll_ctl", error);
  });
}

// --- on the supervisor's thread ---------------------------------------------------------------------------------

void Process::attach() {
  attached_ = true;
  if (!unheard_) attach_streams();
  if (oom_.fd && !oom_.start(EPOLLIN)) give_up("epoll_ctl", errno);
  if (unheard_)
    timers_.push_back(Supervisor::shared().at(given_at_ + UNHEARD, [this] { hear(); }));
  else
    watch_exit();
  auto now = Supervisor::Clock::now();
  auto limit = SETUP_LIMIT;
  if (options_.born_outside && options_.limits.wall_ms > 0)
    limit = std::clamp(milliseconds(static_cast<int64_t>(options_.limits.wall_ms)), ENTRY_LIMIT, SETUP_LIMIT);
  timers_.push_back(Supervisor::shared().at(now + GATE_LIMIT, [this] { leave_gate(); }));
  timers_.push_back(Supervisor::shared().at(now + limit, [this] {
    if (!started_ && !parked_ && !executed()) kill_now(Cause::Stopped);
  }));
  if (!options_.born_outside)
    for (int number : early_signals_) send_signal(number);
  if (pending_ != Cause::None) kill_now(pending_);
}

// What cannot be watched, or not be heard of, does not run: the kernel takes no more watches (ENOSPC), a message came
// without its descriptor because there is no room for one (EMFILE).
void Process::give_up(const char* syscall, int error) {
  report_.failure = failed("process", syscall, "", error);
  given_up_ = true;
  kill_now(Cause::Stopped);
}

void Process::attach_streams() {
  bool watched = true;
  for (int i = 0; i < 2; i++) {
    if (options_.stdio[i + 1].kind != Stdio::Kind::Capture) continue;
    output_[i].limit = log_ ? 0 : options_.limits.capture;
    output_[i].kept = &kept_;
    watched &= output_[i].start(std::move(options_.stdio[i + 1].fd),
                                [this, i](const char* bytes, size_t size) { on_output(i, bytes, size); },
                                std::move(writers_[i]));
  }
  if (options_.stdio[0].kind == Stdio::Kind::Input) {
    input_.fd = std::move(options_.stdio[0].fd);
    watched &= input_.start(EPOLLOUT);
  }
  if (!watched) give_up("epoll_ctl", errno);
}

bool Process::has_come_to(uint32_t progress) {
  plan_header header;
  return plan_ && pread(plan_.get(), &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header) &&
         header.progress == progress;
}

// As the init program has noted it, unless that is no time of ours: in its time namespace the clock may have another.
Supervisor::Clock::time_point Process::begun() {
  auto now = Supervisor::Clock::now();
  if (!unheard_) return now;
  plan_header header = {};
  (void)!pread(plan_.get(), &header, sizeof header, 0);
  Supervisor::Clock::time_point noted{std::chrono::nanoseconds(header.begun)};
  return noted >= given_at_ && noted <= now ? noted : given_at_;
}

void Process::on_executed() {
  if (started_) return;
  started_ = true;
  leave_gate();
  executed_at_ = begun();
  plan_.reset();
  theirs_ = {};
  if (options_.room) options_.room->recipe.reset();
  early_signals_ = {};
  if (options_.marked) mark_ = mark_of(pid_);
  // What is in a cgroup, the watchdog finds there.
  // A guard ends with us by itself, and takes the rest along.
  if (options_.cgroup.unified.empty() && options_.cgroup.legacy.empty() && !options_.guarded) watchdog_guard(this, exit_.fd.get());
  for (auto& timer : timers_) Supervisor::shared().cancel(timer);
  timers_.clear();
  if (options_.limits.wall_ms > 0)
    timers_.push_back(Supervisor::shared().at(executed_at_ + Supervisor::span(options_.limits.wall_ms),
                                              [this] { kill_now(Cause::Timeout); }));
  if (options_.limits.cpu_ms > 0) {
    cpu_before_us_ = std::max(0.0, cgroup_cpu_used_us(options_.cpu_file));
    check_cpu();
  }
  report_.pid = pid_;
  // Not before: whatever wakes up while a program is set up may take its processor. Nor at once where the next one costs as
  // much as a short program: then when that has ended, or a little later.
  if (ahead_ || unheard_)
    timers_.push_back(Supervisor::shared().at(executed_at_ + REFILL_LATER, [] { refill_rooms(); }));
  else
    refill_rooms();
  if (!options_.limits.quiet) listener_->started(pid_);
}

void Process::leave_gate() {
  if (in_gate_) Gate::shared().leave();
  in_gate_ = false;
}

}  // namespace caisson
