// Containers for the test programs: the host's own root, seen from new namespaces.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <future>
#include <memory>
#include <string>

#include "core/process.h"
#include "test/plan_writer.h"

// What came of one, to be waited for.
struct Outcome {
  std::promise<pid_t> started;
  std::promise<void> ready;
  std::promise<caisson::ProcessReport> ended;
};

class Recorder : public caisson::Process::Listener {
 public:
  explicit Recorder(std::shared_ptr<Outcome> outcome) : outcome_(std::move(outcome)) {}
  void started(pid_t pid) override { outcome_->started.set_value(pid); }
  void synchronising(pid_t) override {}
  void ready() override { outcome_->ready.set_value(); }
  void console(caisson::Fd) override {}
  void ended(caisson::ProcessReport report) override { outcome_->ended.set_value(std::move(report)); }

 private:
  std::shared_ptr<Outcome> outcome_;
};

struct Started {
  std::shared_ptr<caisson::Process> process;
  std::shared_ptr<Outcome> outcome;

  caisson::ProcessReport wait() { return outcome->ended.get_future().get(); }
};

inline Started start(caisson::ProcessOptions options) {
  auto outcome = std::make_shared<Outcome>();
  return {caisson::Process::start(std::move(options), std::make_unique<Recorder>(outcome)), outcome};
}

inline constexpr uint64_t OWN = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

// Up to the program's part. `staging` is an empty directory.
inline PlanWriter container_plan(const std::string& staging, uint32_t inherited = 0) {
  PlanWriter plan(inherited);
  const uint64_t root = inherited, proc = inherited + 1;
  plan.add(PLAN_UNDUMPABLE).add(PLAN_PARENT_DEATH).add(PLAN_KEYRING);
  plan.add(PLAN_PROPAGATION, {MS_REC | MS_PRIVATE}, {""});
  plan.add(PLAN_TREE, {root, 0, 0, PLAN_NONE}, {"/"}, "", PLAN_RECURSIVE);
  plan.add(PLAN_FILESYSTEM, {proc, 0}, {"proc"});
  plan.add(PLAN_ROOT, {root, 0}, {staging});
  plan.add(PLAN_ATTACH, {proc, PLAN_NONE}, {"/proc"});
  plan.add(PLAN_HOSTNAME, {}, {"native", ""});
  return plan;
}

// Who the program is: root without any capability.
inline void add_identity(PlanWriter& plan) {
  plan.add(PLAN_USER, {0, 1}, {""}).add(PLAN_WORKDIR, {}, {"/"}).add(PLAN_BOUNDING, {0});
  plan.add(PLAN_CREDENTIALS, {022, 0}).add(PLAN_CAPABILITIES, {0, 0, 0, 0}).add(PLAN_NO_NEW_PRIVS);
}

inline void capture(caisson::ProcessOptions& options) {
  options.stdio[1].kind = options.stdio[2].kind = caisson::Stdio::Kind::Capture;
  options.limits.capture = 1 << 20;
}

inline caisson::ProcessOptions container(const std::string& staging, const std::vector<std::string>& command) {
  caisson::ProcessOptions options;
  PlanWriter plan = container_plan(staging);
  add_identity(plan);
  options.plan = plan.exec(command).text();
  options.namespaces = OWN;
  options.own_pids = options.kill_rest = true;
  capture(options);
  return options;
}
