#include "core/layer/remove.h"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <string>
#include <vector>

#include "core/fault.h"
#include "core/fd.h"
#include "core/layer/listing.h"

namespace caisson {

namespace {

constexpr int READING = O_RDONLY | O_DIRECTORY;

[[noreturn]] void fail(const char* name, const char* call, int error) {
  system_fault(std::string("removing ") + name, call, -error);
}

struct Identity {
  uint64_t device, inode;
  bool operator==(const Identity&) const = default;
};

Identity identity(FileSystem& files, int fd) {
  struct stat status;
  if (int error = files.status(fd, "", &status)) fail("a directory", "fstatat", error);
  return {status.st_dev, status.st_ino};
}

// A directory that is being emptied. Only the innermost one is open, so that no depth runs out of descriptors.
struct Level {
  std::string name;
  Identity identity;
  std::vector<std::string> directories;  // left to be entered
};

class Emptier {
 public:
  Emptier(FileSystem& files, const Keeps& keeps) : files_(files), keeps_(keeps) {}

  void run(int directory, const char* name) {
    enter(directory, name);
    for (;;) {
      Level& level = levels_.back();
      if (!level.directories.empty()) {
        std::string next = std::move(level.directories.back());
        level.directories.pop_back();
        enter(fd_.get(), next.c_str());
        continue;
      }
      if (levels_.size() == 1) return;
      leave();
    }
  }

 private:
  void enter(int directory, const char* name) {
    int fd = files_.open(directory, name[0] ? name : ".", READING);
    // An owner who is not root can be locked out of a directory, or of changing it.
    if (fd == -EACCES && files_.unlock(directory, name) == 0) fd = files_.open(directory, name, READING);
    if (fd < 0) fail(name, "openat", fd);
    fd_.reset(fd);
    Level level{name, identity(files_, fd), {}};
    std::vector<std::string> others;
    for_each_name(fd, [&](const char* member, uint8_t type) {
      (type == DT_DIR || type == DT_UNKNOWN ? level.directories : others).emplace_back(member);
    });
    for (const std::string& member : others) remove(level, member);
    // What the file system did not tell.
    std::erase_if(level.directories, [&](const std::string& member) {
      struct stat status;
      int error = files_.status(fd, member.c_str(), &status);
      if (error == -ENOENT) return true;
      if (error < 0) fail(member.c_str(), "fstatat", error);
      if (S_ISDIR(status.st_mode)) return false;
      remove(level, member);
      return true;
    });
    levels_.push_back(std::move(level));
  }

  void remove(const Level& level, const std::string& member) {
    if (keeps_ && keeps_(level.identity.device, level.identity.inode, member)) return;
    int error = files_.remove(fd_.get(), member.c_str(), false);
    if (error == -EACCES && files_.set_mode(fd_.get(), 0700) == 0)
      error = files_.remove(fd_.get(), member.c_str(), false);
    if (error < 0 && error != -ENOENT) fail(member.c_str(), "unlinkat", error);
  }

  // Back to the directory above, if it is still the one that we came from.
  void leave() {
    Level done = std::move(levels_.back());
    levels_.pop_back();
    int fd = files_.open(fd_.get(), "..", READING);
    if (fd < 0) fail(done.name.c_str(), "openat", fd);
    fd_.reset(fd);
    const Level& level = levels_.back();
    if (identity(files_, fd) != level.identity) fail(done.name.c_str(), "openat", -EXDEV);
    if (keeps_ && keeps_(level.identity.device, level.identity.inode, done.name)) return;
    int error = files_.remove(fd, done.name.c_str(), true);
    if (error == -EACCES && files_.set_mode(fd, 0700) == 0) error = files_.remove(fd, done.name.c_str(), true);
    if (error == -ENOTEMPTY && keeps_) return;
    if (error < 0 && error != -ENOENT) fail(done.name.c_str(), "unlinkat", error);
  }

  FileSystem& files_;
  const Keeps& keeps_;
  Fd fd_;
  std::vector<Level> levels_;
};

}  // namespace

void remove_content(FileSystem& files, int directory, const char* name, const Keeps& keeps) {
  Emptier(files, keeps).run(directory, name);
}

void remove_tree(FileSystem& files, int directory, const char* name, const Keeps& keeps) {
  int error = files.remove(directory, name, false);
  if (error == 0 || error == -ENOENT) return;
  // EPERM: what POSIX says for a directory.
  if (error != -EISDIR && error != -EPERM) fail(name, "unlinkat", error);
  error = files.remove(directory, name, true);
  if (error == 0 || error == -ENOENT) return;
  if (error != -ENOTEMPTY && error != -EEXIST) fail(name, "unlinkat", error);
  remove_content(files, directory, name, keeps);
  error = files.remove(directory, name, true);
  if (error == -ENOTEMPTY && keeps) return;
  if (error < 0 && error != -ENOENT) fail(name, "unlinkat", error);
}

}  // namespace caisson
