// One supervised process: started through the init program, watched until it ends, accounted for.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/capture.h"
#include "core/cgroup.h"
#include "core/devices.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/result.h"
#include "core/rooms.h"
#include "core/steps.h"
#include "core/supervisor.h"
#include "init/plan.h"

namespace caisson {

// What a standard stream of the program is connected to.
struct Stdio {
  enum class Kind {
    Null,     // /dev/null
    Capture,  // output: a pipe that is read into the report
    Input,    // stdin: a pipe that ProcessOptions::input is written to
    Open,     // stdin: a pipe to which nothing is written, and that ends with the process
    Given,    // `fd`
  };
  Kind kind = Kind::Null;
  Fd fd{};
};

// What is measured against the program, from its first instruction on.
struct RunLimits {
  uint64_t capture = 0;  // bytes of both outputs together; more ends the program
  double wall_ms = 0;    // 0: none
  double cpu_ms = 0;
  bool quiet = false;  // the start is told to who asks for it
};

// What does not depend on one start: text, so that it can be kept and used again.
struct Blueprint {
  std::string plan;
  uint64_t namespaces = 0;
  CgroupPaths cgroup;
  bool born_outside = false;        // the plan takes it into its v2 cgroup
  std::vector<DeviceRule> devices;  // enforced on cgroup.unified; none: all that others allow
  std::vector<Step> prepare;
  bool awaits_steps = false;  // the plan waits (SYNC) until the late ones are done
  std::vector<std::string> inherited_paths;  // opened when all is prepared, with O_PATH; they follow `inherited`
  bool new_network = false;  // the first inherited descriptor is to be a new network namespace, from the stock
  std::string cpu_file;      // cpu.stat of v2, or cpuacct.usage of v1
  std::string oom_control;   // memory.oom_control of v1: its event stands in for memory.oom.group
  std::vector<std::string> collect;  // files to read when it has ended
  bool kill_rest = false;            // when it ends, so does everything in its cgroup; otherwise that may live on
  bool marked = false;               // no cgroup keeps it together but a cgroup namespace of its own (core/marked.h)
  bool guarded = false;              // the watched process ends all that the program has started when it is told to
  bool own_pids = false;             // it is PID 1 of its namespace: the kernel already ends the rest
};

struct ProcessOptions : Blueprint {
  ProcessOptions() = default;
  explicit ProcessOptions(Blueprint blueprint) : Blueprint(std::move(blueprint)) {}

  std::array<Stdio, 3> stdio;
  std::string input;
  std::vector<Fd> inherited;
  std::optional<Room> room;  // its namespaces, then its mounts, are inherited before all else
  RunLimits limits;
  bool parks = false;  // the plan ends with WAIT
  std::string log;  // a file that output goes to instead of the report; see log.h
  uint64_t log_limit = 0;
};

// Why it was killed by us; the first cause wins.
enum class Cause { None, Timeout, Cpu, Output, Aborted, Oom, Stopped };

struct ProcessReport {
  std::optional<Failure> failure;  // it never became the program
  pid_t pid = -1;                  // of the program, when it started
  int code = 0;                    // CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0 when another reaped it
  int status = 0;
  Cause cause = Cause::None;
  double duration_ms = 0;
  rusage usage{};
  std::array<std::string, 2> output;
  bool truncated = false;
  std::vector<std::string> collected;
};

class Process : public std::enable_shared_from_this<Process> {
 public:
  // Called on the supervisor's thread.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void started(pid_t pid) = 0;
    virtual void synchronising(pid_t pid) = 0;  // hooks may run now; go() continues
    virtual void ready() = 0;                   // parked in WAIT
    virtual void console(Fd master) = 0;
    virtual void ended(ProcessReport report) = 0;  // last
  };

  static std::shared_ptr<Process> start(ProcessOptions options, std::unique_ptr<Listener> listener);

  // From any thread; all are no-ops once it has ended.
  void kill(Cause cause);
  void signal(int number);
  // For a quiet one: listener.started() comes, now or when it starts.
  void ask_started();
  // A new descriptor of the process itself, for others to join; a negative errno, ESRCH when there is none (yet, or
  // any more).
  int duplicate_pidfd();
  void go();
  // It has been moved to this one, too, which goes with the others.
  void add_cgroup(std::string directory);
  // It has a limit of memory from now on: as ProcessOptions::oom_control.
  void limit_memory(std::string oom_control);
  void detach(int stream, std::function<void(Fd, std::string)> done);
  // After ready(): the control socket, for the file agent.
  void take_control(std::function<void(Fd)> done);
  // After ready(), for a parked process: the rest of its plan.
  void resume(std::string plan, std::array<Stdio, 3> stdio, std::string input, RunLimits limits);

  // When nothing is left of processes whose end was told. On the supervisor's thread.
  static void when_gone(std::function<void()> done);

 private:
  template <void (Process::*Handler)(uint32_t)>
  struct Watch : Supervisor::Source {
    Process* process;
    Fd fd;
    explicit Watch(Process* owner) : process(owner) {}
    void ready(uint32_t events) override { (process->*Handler)(events); }
    bool start(uint32_t events) { return Supervisor::shared().add(fd.get(), events, this); }
    void stop() {
      if (!fd) return;
      Supervisor::shared().remove(fd.get(), this);
      fd.reset();
    }
  };

  Process(ProcessOptions options, std::unique_ptr<Listener> listener)
      : options_(std::move(options)), listener_(std::move(listener)) {}

  // On a worker thread; or, where it is only a message to who waits for it, on the caller's.
  void launch();
  static Result<> connect(std::array<Stdio, 3>* all, std::array<Fd, 3>* stdio);
  void keep_writers(std::array<Fd, 3>* stdio);
  Result<> watch_oom();
  Result<> finish_steps();
  Result<> create();
  Result<> spawn_init(const std::array<Fd, 3>& stdio);
  Result<> hand_over(const std::array<int, 3>& stdio);
  bool takes_pipes_of(Parked* parked, std::array<Fd, 3>* stdio);
  Result<Fd> make_plan(const std::string& plan);

  // For a parked process: what it gets, and what stays here of that.
  struct Rest {
    std::string plan;
    std::array<Stdio, 3> stdio;
    std::string input;
    RunLimits limits;
    bool own_streams = false;
    bool unheard = false;
    Supervisor::Clock::time_point given_at{};
    Fd plan_fd{};
    std::array<Fd, 2> writers{};
  };
  void hand_over_rest(const std::shared_ptr<Rest>& rest);
  bool has_streams(const std::array<Stdio, 3>& wanted) const;
  bool may_be_unheard(const RunLimits& limits) const;
  bool starts_unheard() const;
  void hear();
  void keep_mounts();

  // On the supervisor's thread.
  void attach();
  void attach_streams();
  void give_up(const char* syscall, int error);
  void watch_exit();
  void look_for_exit();
  void on_control(uint32_t events);
  void on_exit(uint32_t events);
  void on_program_gone(uint32_t events);
  void take_status(int status);
  bool start_anew();
  void go_on(std::optional<Parked> other);
  void on_input(uint32_t events);
  void on_oom(uint32_t events);
  void look_for_oom();
  // cgroup v1: the kernel has killed one of its processes for lack of memory.
  bool oom_killed();
  void resumed(Rest* rest);
  void read_control();
  void on_executed();
  void on_output(int stream, const char* bytes, size_t size);
  // It is set up, waits for somebody, or has failed.
  void leave_gate();
  void kill_now(Cause cause);
  void kill_all();
  // There is another process.
  void on_process(const message& what, pid_t sender, std::vector<Fd> fds);
  // A process that went ahead has made way for another.
  void follow(pid_t pid, Fd pidfd, bool attended);
  void reap_untold();
  bool send_signal(int number);
  void check_cpu();
  bool has_come_to(uint32_t progress);
  bool executed() { return has_come_to(PLAN_EXECUTED); }
  Supervisor::Clock::time_point begun();
  void collect();
  void finish();
  void clean(int attempt);
  void tell();
  void end();
  void conclude(std::optional<Failure> failure);

  ProcessOptions options_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<Process> self_;  // until it has ended

  pid_t pid_ = -1;
  std::mutex pidfd_mutex_;  // around changes of exit_.fd and program_
  Fd plan_;
  std::mutex control_mutex_;  // around changes of control_.fd and their_end_
  Watch<&Process::on_control> control_{this};
  // The other end of it, of one that parks or is unheard: as long as it is open here, no end of file tells of the execution.
  Fd their_end_;
  Watch<&Process::on_exit> exit_{this};
  Fd program_;  // where the watched process only attends to the program
  Watch<&Process::on_program_gone> gone_{this};  // likewise
  std::optional<int> kept_status_;               // of the program, where it cannot be had from who attends to it
  Watch<&Process::on_input> input_{this};
  Watch<&Process::on_oom> oom_{this};
  bool oom_told_ = false;  // there was an event
  int oom_looks_ = 0;      // since the last one
  std::array<Capture, 2> output_;
  std::array<Fd, 2> writers_;  // until attach()
  std::array<Fd, 3> theirs_;   // what else the program gets, of one that was parked, until it is executed
  std::optional<Log> log_;
  uint64_t captured_ = 0, kept_ = 0;
  double cpu_before_us_ = 0;
  size_t input_written_ = 0;

  bool in_gate_ = false;
  bool ahead_ = false;  // it was parked when the caller came
  bool anew_ = false;   // and was killed before it began: this is another
  bool attached_ = false, parked_ = false, started_ = false, ended_ = false;
  bool resumed_ = false;   // it was parked, and has got the rest of its plan
  bool unheard_ = false;   // nobody wakes up when it is executed
  bool told_ = false;      // its end, but it is not all gone yet
  int messages_ = 0;       // that it has sent
  bool followed_ = false;  // the first process has told of another
  bool terminal_ = false;  // it has sent one
  bool given_up_ = false;  // killed because it could not be watched
  Cause pending_ = Cause::None;       // asked for before there was a process
  std::vector<int> early_signals_;    // sent before it was the program, if there was a process already or not
  ino_t mark_ = 0;
  Supervisor::Clock::time_point given_at_, executed_at_, exited_at_;
  std::vector<Supervisor::Timer> timers_;
  ProcessReport report_;
};

}  // namespace caisson
