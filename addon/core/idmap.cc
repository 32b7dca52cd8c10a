#include "core/idmap.h"

#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <sstream>
#include <vector>

#include "core/sys.h"

extern char** environ;

namespace caisson {

namespace {

// newuidmap PID inside outside count ...
Result<> run_helper(const std::string& program, pid_t pid, const std::string& map) {
  std::vector<std::string> words{program, std::to_string(pid)};
  std::istringstream text(map);
  for (std::string word; text >> word;) words.push_back(word);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t helper;
  if (int error = posix_spawn(&helper, program.c_str(), nullptr, nullptr, arguments.data(), environ))
    return failed("user namespace", "posix_spawn", program, error);
  int status = 0;
  pid_t waited;
  while ((waited = waitpid(helper, &status, 0)) < 0 && errno == EINTR) continue;
  if (waited < 0) return failed("user namespace", "waitpid", program);
  if (status != 0) return failed("user namespace", "newuidmap", program + " " + map, EPERM);
  return Nothing{};
}

Result<> write_map(const std::string& file, const std::string& helper, pid_t pid, const std::string& map) {
  if (!helper.empty()) return run_helper(helper, pid, map);
  std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  if (!sys::write_file(path, map)) return failed("user namespace", "write", path);
  return Nothing{};
}

}  // namespace

Result<> write_id_maps(pid_t pid, const IdMaps& maps) {
  if (maps.deny_setgroups) {
    std::string path = "/proc/" + std::to_string(pid) + "/setgroups";
    if (!sys::write_file(path, "deny")) return failed("user namespace", "write", path);
  }
  if (auto done = write_map("gid_map", maps.gid_helper, pid, maps.gid); !done) return done.failure();
  return write_map("uid_map", maps.uid_helper, pid, maps.uid);
}

}  // namespace caisson
