// Starts containers in every way that the core knows, from several threads at once; for sanitizers and valgrind.
//   containers DIRECTORY ROUNDS THREADS
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <functional>

#include "core/agent.h"
#include "core/errand.h"
#include "core/lock.h"
#include "core/namespace.h"
#include "core/netns.h"
#include "core/sys.h"
#include "core/template.h"
#include "core/watchdog.h"
#include "test/check.h"
#include "test/container.h"

using namespace caisson;

namespace {

std::string staging, scratch, cgroup_base;
std::atomic<int> next_number = 0;

std::string number() { return std::to_string(next_number++); }

std::vector<std::string> sh(const std::string& script) { return {"/bin/sh", "-c", script}; }

// Where this process is in cgroup v2, if it may make groups there.
std::string own_cgroup() {
  std::string text = sys::read_file("/proc/self/cgroup");
  size_t at = text.find("0::");
  if (at == std::string::npos) return "";
  std::string where = text.substr(at + 3, text.find('\n', at) - at - 3);
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    std::string directory = std::string(mount) + (where == "/" ? "" : where) + "/caisson-native-" + std::to_string(getpid());
    if (access((std::string(mount) + "/cgroup.procs").c_str(), F_OK) == 0 && mkdir(directory.c_str(), 0755) == 0)
      return directory;
  }
  return "";
}

void in_cgroup(ProcessOptions& options) {
  if (cgroup_base.empty()) return;
  options.cgroup.unified = cgroup_base + "/" + number();
  options.prepare.push_back({Step::Kind::MakeDirectory, options.cgroup.unified, "", "cgroup"});
}

void plain() {
  ProcessOptions options = container(staging, sh("echo out; echo err >&2; exit 7"));
  in_cgroup(options);
  ProcessReport report = start(std::move(options)).wait();
  CHECK(!report.failure && report.code == CLD_EXITED && report.status == 7);
  CHECK(report.output[0] == "out\n" && report.output[1] == "err\n");
}

void flood() {
  ProcessOptions options = container(staging, sh("while :; do echo 0123456789; done"));
  options.limits.capture = 10000;
  in_cgroup(options);
  ProcessReport report = start(std::move(options)).wait();
  CHECK(report.cause == Cause::Output && report.truncated && report.output[0].size() == 10000);
}

void timeout() {
  ProcessOptions options = container(staging, sh("sleep 1000"));
  options.limits.wall_ms = 20;
  in_cgroup(options);
  CHECK(start(std::move(options)).wait().cause == Cause::Timeout);
}

void aborted() {
  ProcessOptions options = container(staging, sh("sleep 1000"));
  in_cgroup(options);
  Started started = start(std::move(options));
  std::this_thread::sleep_for(std::chrono::microseconds(next_number++ * 137 % 5000));
  started.process->signal(SIGTERM);
  started.process->kill(Cause::Aborted);
  int pidfd = started.process->duplicate_pidfd();
  if (pidfd >= 0) close(pidfd);
  CHECK(started.wait().cause == Cause::Aborted);
}

void fed() {
  ProcessOptions options = container(staging, {"/bin/cat"});
  options.stdio[0].kind = Stdio::Kind::Input;
  options.input = std::string(200000, 'x');
  CHECK(start(std::move(options)).wait().output[0].size() == 200000);
}

void logged() {
  ProcessOptions options = container(staging, sh("for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done"));
  options.log = scratch + "/log" + number();
  options.log_limit = 100;
  std::string log = options.log;
  CHECK(!start(std::move(options)).wait().failure);
  CHECK(access(log.c_str(), F_OK) == 0);
  unlink(log.c_str());
  unlink((log + ".1").c_str());
}

// A short program, whose execution wakes nobody; and one that is heard of because it is none.
void unheard() {
  auto quiet = [](const std::vector<std::string>& command) {
    ProcessOptions options = container(staging, command);
    options.limits.quiet = true;
    in_cgroup(options);
    return options;
  };
  ProcessReport report = start(quiet(sh("echo out; exit 7"))).wait();
  CHECK(!report.failure && report.code == CLD_EXITED && report.status == 7 && report.output[0] == "out\n");
  CHECK(report.duration_ms > 0 && report.duration_ms < 5000);
  report = start(quiet(sh("sleep 0.1"))).wait();
  CHECK(!report.failure && report.duration_ms >= 90);
  report = start(quiet({"/no/such/program"})).wait();
  CHECK(report.failure && report.failure->syscall == "execve" && report.failure->error == ENOENT);

  ProcessOptions fed = quiet({"/bin/cat"});
  fed.stdio[0].kind = Stdio::Kind::Input;
  fed.input = std::string(200000, 'x');
  CHECK(start(std::move(fed)).wait().output[0].size() == 200000);
  ProcessOptions endless = quiet(sh("while :; do echo 0123456789; done"));
  endless.limits.capture = 10000;
  CHECK(start(std::move(endless)).wait().cause == Cause::Output);
  for (double wall_ms : {1.0, 4.0, 30.0}) {
    ProcessOptions late = quiet(sh("sleep 1000"));
    late.limits.wall_ms = wall_ms;
    report = start(std::move(late)).wait();
    CHECK(report.cause == Cause::Timeout && report.duration_ms >= wall_ms);
  }
  Started asked = start(quiet(sh("sleep 1000")));
  asked.process->ask_started();
  CHECK(asked.outcome->started.get_future().get() > 0);
  asked.process->kill(Cause::Aborted);
  CHECK(asked.wait().cause == Cause::Aborted);
}

void impossible() {
  ProcessOptions options = container(staging, {"/no/such/program"});
  ProcessReport report = start(std::move(options)).wait();
  CHECK(report.failure && report.failure->syscall == "execve" && report.failure->error == ENOENT);
  ProcessOptions torn = container(staging, {"/bin/true"});
  torn.plan.resize(torn.plan.size() - 8);
  report = start(std::move(torn)).wait();
  CHECK(report.failure && report.failure->syscall == "plan");
  ProcessOptions nowhere = container(staging, {"/bin/true"});
  nowhere.prepare.push_back({Step::Kind::MakeDirectory, scratch + "/none/below", "", "cgroup"});
  report = start(std::move(nowhere)).wait();
  CHECK(report.failure && report.failure->syscall == "mkdir");
}

// As a pool has them: stopped before the program, which comes later, or never.
void parked() {
  PlanWriter first = container_plan(staging);
  first.add(PLAN_WAIT, {10, PLAN_NONE});
  // Its program may bring other streams than it waits with.
  for (auto [used, same, quiet] : {std::tuple{true, false, false}, {true, true, false}, {true, true, true}, {false, true, false}}) {
    ProcessOptions options;
    options.parks = true;
    if (same) capture(options);
    options.plan = first.text();
    options.namespaces = OWN;
    options.own_pids = options.kill_rest = true;
    in_cgroup(options);
    Started started = start(std::move(options));
    started.outcome->ready.get_future().wait();
    if (used) {
      PlanWriter rest;
      add_identity(rest);
      ProcessOptions of_the_rest;
      capture(of_the_rest);
      of_the_rest.limits.quiet = quiet;
      started.process->resume(rest.exec(sh("echo later; sleep 0.05")).text(), std::move(of_the_rest.stdio), "", of_the_rest.limits);
      // Nobody has heard of it so far.
      if (quiet) started.process->ask_started();
      CHECK(started.outcome->started.get_future().get() > 0);
      CHECK(started.wait().output[0] == "later\n");
    } else {
      started.process->kill(Cause::Stopped);
      CHECK(started.wait().cause == Cause::Stopped);
    }
  }
}

// A program beside another one, attended by a process outside.
void executed() {
  Started kept = start(container(staging, sh("echo up; sleep 1000")));
  kept.outcome->started.get_future().wait();
  for (int i = 0; i < 3; i++) {
    ProcessOptions options;
    options.inherited.emplace_back(kept.process->duplicate_pidfd());
    PlanWriter plan(1);
    plan.add(PLAN_UNDUMPABLE).add(PLAN_SETNS, {0, CLONE_NEWPID}).add(PLAN_FORK, {0, PLAN_NONE, 1});
    plan.add(PLAN_SETNS, {0, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC}).add(PLAN_PARENT_DEATH);
    add_identity(plan);
    options.plan = plan.exec(sh("hostname; kill -9 $$")).text();
    capture(options);
    ProcessReport report = start(std::move(options)).wait();
    CHECK(!report.failure && report.code == CLD_KILLED && report.status == SIGKILL);
    CHECK(report.output[0] == "native\n");
  }
  std::promise<std::pair<Fd, std::string>> taken;
  kept.process->detach(0, [&](Fd fd, std::string bytes) { taken.set_value({std::move(fd), std::move(bytes)}); });
  CHECK(taken.get_future().get().first);
  kept.process->kill(Cause::Aborted);
  CHECK(kept.wait().cause == Cause::Aborted);
  CHECK(kept.process->duplicate_pidfd() == -ESRCH);
}

void file_agent() {
  PlanWriter plan;
  const std::string place = scratch + "/agent" + number();
  plan.add(PLAN_UNDUMPABLE).add(PLAN_AGENT, {}, {}, "", PLAN_OPTIONAL).add(PLAN_PARENT_DEATH).add(PLAN_AGENT);
  ProcessOptions options;
  options.plan = plan.text();
  options.namespaces = CLONE_NEWNS;
  Started started = start(std::move(options));
  started.outcome->ready.get_future().wait();
  std::promise<Fd> control;
  started.process->take_control([&](Fd fd) { control.set_value(std::move(fd)); });
  Agent agent(control.get_future().get());
  CHECK(agent.call(AGENT_MKDIR, {0755, 1, 0}, place + "/a/b", ""));
  auto made = agent.call(AGENT_OPEN, {O_WRONLY | O_CREAT, 0644, 0}, place + "/a/file", "");
  CHECK(made && made->fd);
  CHECK(agent.call(AGENT_SYMLINK, {}, "/etc/passwd", place + "/a/link"));
  auto link = agent.call(AGENT_READLINK, {}, place + "/a/link", "");
  CHECK(link && link->text == "/etc/passwd");
  CHECK(!agent.call(AGENT_STAT, {}, std::string(5000, 'x'), ""));
  CHECK(agent.call(AGENT_REMOVE, {1, 0, 0}, place, ""));
  agent.close();
  CHECK(!agent.call(AGENT_STAT, {}, "/", ""));
  started.wait();
}

void errands() {
  ErrandOptions options;
  options.plan = PlanWriter().add(PLAN_UNSHARE, {CLONE_NEWUTS}).add(PLAN_HOLD).text();
  options.open = {"ns/uts"};
  options.read = {"status"};
  auto errand = run_errand(std::move(options));
  CHECK(errand && errand->opened.size() == 1 && namespace_facts(errand->opened[0].get()).owners.size() > 0);
  ErrandOptions kept;
  kept.plan = PlanWriter().add(PLAN_FORK, {CLONE_NEWPID, PLAN_NONE}).add(PLAN_HOLD).text();
  kept.open = {"ns/pid"};
  kept.keep = true;
  auto held = run_errand(std::move(kept));
  CHECK(held && held->hold);
  ErrandOptions wrong;
  wrong.plan = PlanWriter().add(PLAN_SETNS, {5, CLONE_NEWNET}).text();
  auto failed = run_errand(std::move(wrong));
  CHECK(!failed && failed.failure().syscall == "plan");
}

void network() {
  ProcessOptions options;
  PlanWriter plan = container_plan(staging, 1);
  plan.add(PLAN_SETNS, {0, CLONE_NEWNET});
  add_identity(plan);
  options.plan = plan.exec(sh("ls /sys/class/net >/dev/null; cat /proc/net/dev | wc -l")).text();
  options.namespaces = OWN;
  options.own_pids = options.new_network = true;
  capture(options);
  CHECK(start(std::move(options)).wait().output[0] == "3\n");
}

void from_template() {
  const std::string placeholder(64, '#');
  ProcessOptions options = container(staging, {"/bin/echo", "unused"});
  PlanWriter plan = container_plan(staging);
  plan.add(PLAN_HOSTNAME, {}, {placeholder.substr(0, Pattern::SHORT), ""});
  const size_t at = plan.text().size();
  add_identity(plan);
  Template made(options, {Pattern(plan.text(), placeholder), at}, std::nullopt, placeholder);
  PlanWriter rest;
  rest.exec({"/bin/hostname"});
  std::string id = std::string(52, '0') + std::to_string(100000000000 + next_number++), inserted;
  const std::string records = rest.records();
  std::string reversed(id.rbegin(), id.rend());
  ProcessOptions instance(made.instantiate({reversed, inserted, records, rest.count()}));
  capture(instance);
  CHECK(start(std::move(instance)).wait().output[0] == reversed.substr(0, Pattern::SHORT) + "\n");
}

void looked_at() {
  CHECK(list_namespaces(CLONE_NEWPID | CLONE_NEWNET, 0));
  auto own = open_namespace("/proc/self/ns/net");
  CHECK(own && own->flag == CLONE_NEWNET);
  CHECK(!open_namespace("/dev/null"));
  auto lock = lock_file(scratch + "/lock" + number(), true, false);
  CHECK(lock && *lock >= 0);
  if (lock && *lock >= 0) close(*lock);
}

const std::vector<std::function<void()>> ALL = {plain,  flood,    timeout,    aborted, fed,     logged,        unheard, impossible,
                                                parked, executed, file_agent, errands, network, from_template, looked_at};

// Descriptors of this process but those of network namespaces, of which some are kept in stock.
int descriptors() {
  int found = 0;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  while (dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    char target[64] = "";
    if (readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof target - 1) > 0 && strncmp(target, "net:", 4) != 0) found++;
  }
  return found;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 125;
  scratch = arguments[1];
  staging = scratch + "/root";
  mkdir(staging.c_str(), 0755);
  cgroup_base = own_cgroup();
  CHECK(watchdog_start({"tree " + scratch + "/nothing"}));
  // Once alone, so that what is kept for all is there.
  for (auto& each : ALL) each();
  const int before = descriptors();
  check::in_threads(arguments, [](int thread, int) {
    for (size_t i = 0; i < ALL.size(); i++) ALL[(i + static_cast<size_t>(thread) * 3) % ALL.size()]();
  });
  // The namespace's PID 1 of an errand and what a program has left behind end a moment later.
  for (int attempt = 0; attempt < 100 && !cgroup_base.empty() && rmdir(cgroup_base.c_str()) < 0; attempt++) usleep(10000);
  CHECK(cgroup_base.empty() || access(cgroup_base.c_str(), F_OK) < 0);
  for (int attempt = 0; attempt < 100 && descriptors() > before; attempt++) usleep(10000);
  CHECK(descriptors() <= before);
  return check::result();
}
