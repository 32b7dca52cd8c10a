#include "core/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "core/fd.h"
#include "core/shortage.h"
#include "core/sys.h"

namespace caisson {

namespace {

// Calls itself for subdirectories first; `visit` gets each directory's path.
template <typename Visit>
void walk(const std::string& path, int depth, const Visit& visit) {
  if (depth < 32) {
    std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    while (directory) {
      dirent* entry = readdir(directory.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (entry->d_type == DT_DIR && name != "." && name != "..") walk(path + "/" + name, depth + 1, visit);
    }
  }
  visit(path);
}

// Descriptors that are held at a time.
constexpr size_t BATCH = 64;

std::vector<pid_t> numbers(const std::string& pids) {
  std::vector<pid_t> found;
  const char* at = pids.data();
  const char* end = at + pids.size();
  while (at < end) {
    pid_t pid = 0;
    auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc()) break;
    // 0: of a pid namespace that is none of ours.
    if (pid > 0) found.push_back(pid);
    at = next + 1;
  }
  return found;
}

std::vector<pid_t> members(const std::string& path) {
  std::string pids;
  walk(path, 0, [&](const std::string& directory) { pids += sys::read_file(directory + "/cgroup.procs"); });
  return numbers(pids);
}

std::vector<pid_t> direct_members(const std::string& path) { return numbers(sys::read_file(path + "/cgroup.procs")); }

bool contains(const std::vector<pid_t>& list, pid_t pid) { return std::find(list.begin(), list.end(), pid) != list.end(); }

// Where the kernel has no cgroup.kill: read the members and kill them, once. False when there was none. A number may by
// now be somebody else's, as programs that fork fast use them up: whom a descriptor was opened for is killed when the list,
// read after that, still has the number.
bool kill_members(const std::string& path) {
  std::vector<pid_t> listed = members(path);
  for (size_t at = 0; at < listed.size(); at += BATCH) {
    std::map<pid_t, Fd> held;
    for (size_t i = at; i < std::min(at + BATCH, listed.size()); i++) {
      Fd pidfd(sys::pidfd_open(listed[i]));
      if (pidfd)
        held.emplace(listed[i], std::move(pidfd));
      else if (errno == EMFILE || errno == ENFILE)
        kill(listed[i], SIGKILL);  // better by its number than not at all
    }
    if (held.empty()) continue;
    for (pid_t pid : members(path))
      if (auto found = held.find(pid); found != held.end()) sys::pidfd_send_signal(found->second.get(), SIGKILL);
  }
  return !listed.empty();
}

// Frozen first, so that a fork bomb cannot outrun the list; a frozen task of cgroup v1 ignores SIGKILL until it is
// thawed, so the passes after that catch what the first one left.
void freeze_and_kill(const std::string& path, const std::string& freezer, const char* freeze, const char* thaw) {
  if (!freezer.empty()) sys::write_file(freezer, freeze);
  kill_members(path);
  if (!freezer.empty()) sys::write_file(freezer, thaw);
  for (int pass = 0; pass < 100 && kill_members(path); pass++) continue;
}

// Whoever was about to come into a group is there, or frozen with the others, after two of these. Who is about to die stays
// in the list, and in the way, until its memory is gone: the later ones wait for that, two seconds all of them together.
constexpr int MOVE_PASSES = 13;

// False when it was reaped; until then nobody else has its number.
bool has_number(const Fd& pidfd) { return sys::pidfd_send_signal(pidfd.get(), 0) == 0; }

Result<std::map<pid_t, Fd>> hold(const std::vector<pid_t>& listed, size_t at) {
  std::map<pid_t, Fd> held;
  for (size_t i = at; i < std::min(at + BATCH, listed.size()); i++) {
    Fd pidfd(with_descriptors([&] { return sys::pidfd_open(listed[i]); }));
    if (pidfd)
      held.emplace(listed[i], std::move(pidfd));
    else if (errno != ESRCH && errno != EINVAL)  // EINVAL: of a process of which other threads alone are left
      return failed("cgroup: procs", "pidfd_open");
  }
  return held;
}

}  // namespace

bool cgroup_kill(const CgroupPaths& paths) {
  std::string state = paths.freezer.empty() ? "" : paths.freezer + "/freezer.state";
  if (!paths.unified.empty() && sys::write_file(paths.unified + "/cgroup.kill", "1")) {
    if (!state.empty()) sys::write_file(state, "THAWED");
  } else if (!paths.unified.empty()) {
    if (!state.empty()) sys::write_file(state, "THAWED");
    freeze_and_kill(paths.unified, paths.unified + "/cgroup.freeze", "1", "0");
  } else if (!paths.legacy.empty()) {
    freeze_and_kill(paths.freezer.empty() ? paths.legacy.front() : paths.freezer, state, "FROZEN", "THAWED");
  } else {
    return false;
  }
  return true;
}

// The kernel takes a number, which may be somebody else's by the time that it looks. A process is held by a descriptor before
// the list is read again; when it still has its number after the write, it had it all the time, and was in the list. One
// that was reaped before is passed over. For its number to be given again within the write all others must be given first;
// should it be, then there is one in `to` that is not in `from`, and it goes back.
Result<> cgroup_move(const std::string& from, const std::string& to, const std::string& back) {
  const std::string file = "/cgroup.procs";
  for (int pass = 0; pass < MOVE_PASSES; pass++) {
    const std::vector<pid_t> inside = direct_members(to);
    std::vector<pid_t> left = members(from);
    left.erase(std::remove_if(left.begin(), left.end(), [&](pid_t pid) { return contains(inside, pid); }), left.end());
    if (left.empty()) return Nothing{};
    for (size_t at = 0; at < left.size(); at += BATCH) {
      auto held = hold(left, at);
      if (!held) return held.failure();
      for (pid_t pid : members(from)) {
        auto found = held->find(pid);
        if (found == held->end() || !has_number(found->second)) continue;
        if (!sys::write_file(to + file, std::to_string(pid)) && errno != ESRCH) return failed("cgroup: procs", "write", to);
        if (!has_number(found->second) && contains(direct_members(to), pid) && !contains(members(from), pid))
          sys::write_file(back + file, std::to_string(pid));
      }
    }
    if (pass > 0 && pass + 1 < MOVE_PASSES) std::this_thread::sleep_for(std::chrono::milliseconds(1 << (pass - 1)));
  }
  return failed("cgroup: procs", "write", to, EBUSY);
}

bool cgroup_remove(const CgroupPaths& paths) {
  bool all = true;
  auto remove = [&](const std::string& path) {
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return;
    walk(path, 0, [&](const std::string& directory) { all &= rmdir(directory.c_str()) == 0 || errno == ENOENT; });
  };
  if (!paths.unified.empty()) remove(paths.unified);
  for (const std::string& path : paths.legacy) remove(path);
  return all;
}

uint64_t cgroup_oom_kills(const std::string& oom_control) {
  constexpr std::string_view KEY = "oom_kill ";
  uint64_t sum = 0;
  walk(oom_control.substr(0, oom_control.rfind('/')), 0, [&](const std::string& directory) {
    std::string text = sys::read_file(directory + "/memory.oom_control");
    size_t at = text.rfind(KEY);
    uint64_t value = 0;
    if (at == std::string::npos) return;
    std::from_chars(text.data() + at + KEY.size(), text.data() + text.size(), value);
    sum += value;
  });
  return sum;
}

double cgroup_cpu_used_us(const std::string& path) {
  std::string text = sys::read_file(path);
  size_t at = text.find("usage_usec ");
  uint64_t value = 0;
  const char* from = text.data() + (at == std::string::npos ? 0 : at + 11);
  if (std::from_chars(from, text.data() + text.size(), value).ec != std::errc()) return -1;
  return at == std::string::npos ? static_cast<double>(value) / 1000 : static_cast<double>(value);
}

}  // namespace caisson
