#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>

#include "core/namespace.h"
#include "core/sys.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace caisson {

namespace {

struct Kind {
  const char* name;
  int flag;
};

constexpr std::array<Kind, 8> KINDS = {{
    {"mnt", CLONE_NEWNS},
    {"net", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},
    {"user", CLONE_NEWUSER},
    {"pid", CLONE_NEWPID},
    {"uts", CLONE_NEWUTS},
    {"cgroup", CLONE_NEWCGROUP},
    {"time", CLONE_NEWTIME},
}};

constexpr size_t COMMAND_MAX = 8192;
constexpr size_t MOUNTINFO_MAX = 16 << 20;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

Directory open_directory(int base, const char* name) {
  Fd fd(openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Directory directory(fd ? fdopendir(fd.get()) : nullptr, closedir);
  if (directory) fd.release();
  return directory;
}

// "net:[4026531833]" to its kind and number.
const Kind* parse_link(const char* text, size_t length, uint64_t* inode) {
  for (const Kind& kind : KINDS) {
    size_t name = strlen(kind.name);
    if (length < name + 4 || memcmp(text, kind.name, name) != 0 || memcmp(text + name, ":[", 2) != 0) continue;
    auto [end, error] = std::from_chars(text + name + 2, text + length, *inode);
    return error == std::errc() && *end == ']' ? &kind : nullptr;
  }
  return nullptr;
}

const Kind* read_link(int base, const char* name, uint64_t* inode) {
  char text[64];
  ssize_t length = readlinkat(base, name, text, sizeof text);
  return length > 0 ? parse_link(text, length, inode) : nullptr;
}

std::string read_at(int base, const char* name) {
  std::string text(COMMAND_MAX, '\0');
  Fd fd(openat(base, name, O_RDONLY | O_CLOEXEC));
  ssize_t length = fd ? read(fd.get(), text.data(), text.size()) : -1;
  text.resize(length > 0 ? length : 0);
  return text;
}

// The command line with spaces between its words; a kernel thread has only a name.
std::string command_of(int process) {
  std::string line = read_at(process, "cmdline");
  while (!line.empty() && line.back() == '\0') line.pop_back();
  std::replace(line.begin(), line.end(), '\0', ' ');
  if (!line.empty()) return line;
  line = read_at(process, "comm");
  if (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

// The fourth field of /proc/PID/stat; the second one, the name, may itself hold spaces and parentheses.
pid_t parent_of(int process) {
  std::string text = read_at(process, "stat");
  size_t at = text.rfind(')');
  pid_t parent = 0;
  if (at != std::string::npos && at + 4 < text.size())
    std::from_chars(text.data() + at + 4, text.data() + text.size(), parent);
  return parent;
}

// Spaces and the like in mountinfo are backslashes and three octal digits.
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); i++) {
    int value = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, value, 8).ptr == text.data() + i + 4) {
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

class Scan {
 public:
  explicit Scan(uint64_t flags, pid_t only) : flags_(flags), only_(only) {}

  Result<std::vector<NamespaceRow>> run() {
    Directory proc = open_directory(AT_FDCWD, "/proc");
    if (!proc) return failed("namespaces", "open", "/proc");
    while (dirent* entry = readdir(proc.get())) {
      pid_t pid = 0;
      const char* end = entry->d_name + strlen(entry->d_name);
      if (auto [at, error] = std::from_chars(entry->d_name, end, pid); error == std::errc() && at == end)
        look_at(dirfd(proc.get()), entry->d_name, pid);
    }
    if (only_ != 0 && !seen_) return failed("namespaces", "open", "/proc/" + std::to_string(only_), ESRCH);
    if (only_ == 0) look_at_mounts();
    ask_the_kernel();
    std::vector<NamespaceRow> rows;
    for (auto& [inode, found] : rows_)
      if (only_ == 0 ? found.row.flag & flags_ : found.wanted) rows.push_back(std::move(found.row));
    return rows;
  }

 private:
  struct Found {
    NamespaceRow row;
    bool wanted = false;  // the process that was asked for is in it
  };

  void look_at(int proc, const char* name, pid_t pid) {
    Fd process(openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!process) return;
    if (pid == only_) seen_ = true;
    for (const Kind& kind : KINDS) {
      uint64_t inode;
      std::string link = std::string("ns/") + kind.name;
      if (!(kind.flag & (flags_ | CLONE_NEWNS)) || read_link(process.get(), link.c_str(), &inode) == nullptr) continue;
      Found& found = at(kind, inode);
      NamespaceRow& row = found.row;
      row.processes++;
      found.wanted |= pid == only_ && flags_ & kind.flag;
      if (row.pid == 0 || pid < row.pid) lead(row, process.get(), pid, link);
    }
    if (only_ == 0) look_at_descriptors(process.get(), pid);
  }

  Found& at(const Kind& kind, uint64_t inode) {
    Found& found = rows_[inode];
    found.row.flag = kind.flag;
    found.row.inode = inode;
    return found;
  }

  void lead(NamespaceRow& row, int process, pid_t pid, const std::string& link) {
    struct stat status;
    row.pid = pid;
    row.ppid = parent_of(process);
    row.uid = fstat(process, &status) == 0 ? status.st_uid : 0;
    row.user = user_name(row.uid);
    row.command = command_of(process);
    row.path = "/proc/" + std::to_string(pid) + "/" + link;
  }

  void look_at_descriptors(int process, pid_t pid) {
    Directory directory = open_directory(process, "fd");
    if (!directory) return;
    while (dirent* entry = readdir(directory.get())) {
      uint64_t inode;
      const Kind* kind = read_link(dirfd(directory.get()), entry->d_name, &inode);
      if (kind == nullptr || !(flags_ & kind->flag)) continue;
      NamespaceRow& row = at(*kind, inode).row;
      if (row.path.empty()) row.path = "/proc/" + std::to_string(pid) + "/fd/" + entry->d_name;
    }
  }

  // Files of nsfs that are mounted, in every mount namespace that has a process.
  void look_at_mounts() {
    uint64_t own = 0;
    read_link(AT_FDCWD, "/proc/self/ns/mnt", &own);
    look_at_mounts_of("/proc/self", "");
    std::vector<pid_t> leaders;
    for (auto& [inode, found] : rows_)
      if (found.row.flag == CLONE_NEWNS && found.row.pid != 0 && inode != own) leaders.push_back(found.row.pid);
    for (pid_t pid : leaders) {
      std::string base = "/proc/" + std::to_string(pid);
      look_at_mounts_of(base, base + "/root");
    }
  }

  void look_at_mounts_of(const std::string& process, const std::string& prefix) {
    std::istringstream lines(sys::read_file(process + "/mountinfo", MOUNTINFO_MAX));
    for (std::string line; std::getline(lines, line);) {
      if (line.find(" - nsfs ") == std::string::npos) continue;
      std::istringstream fields(line);
      std::string id, parent, device, root, mountpoint;
      fields >> id >> parent >> device >> root >> mountpoint;
      uint64_t inode;
      const Kind* kind = parse_link(root.data(), root.size(), &inode);
      if (kind == nullptr) continue;
      NamespaceRow& row = at(*kind, inode).row;
      // A name that lasts is better than a descriptor of some process.
      if (row.pid == 0) row.path = prefix + unescape(mountpoint);
    }
  }

  // Parents and owners may have neither a process nor a file.
  void ask_the_kernel() {
    std::vector<std::pair<Kind, uint64_t>> related;
    for (auto& [inode, found] : rows_) {
      NamespaceRow& row = found.row;
      auto opened = open_namespace(row.path);
      if (!opened || opened->inode != inode) continue;
      row.facts = namespace_facts(opened->fd.get());
      if (row.facts.parent != 0) related.push_back({{"", row.flag}, row.facts.parent});
      for (uint64_t owner : row.facts.owners) related.push_back({{"", CLONE_NEWUSER}, owner});
    }
    for (auto& [kind, inode] : related) at(kind, inode);
  }

  const std::string& user_name(uid_t uid) {
    auto [at, fresh] = users_.try_emplace(uid);
    if (!fresh) return at->second;
    char buffer[4096];
    passwd entry, *result = nullptr;
    getpwuid_r(uid, &entry, buffer, sizeof buffer, &result);
    return at->second = result != nullptr ? entry.pw_name : std::to_string(uid);
  }

  uint64_t flags_;
  pid_t only_;
  bool seen_ = false;
  std::map<uint64_t, Found> rows_;
  std::map<uid_t, std::string> users_;
};

}  // namespace

Result<std::vector<NamespaceRow>> list_namespaces(uint64_t flags, pid_t pid) { return Scan(flags, pid).run(); }

}  // namespace caisson
