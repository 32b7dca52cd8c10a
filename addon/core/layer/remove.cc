#include "core/layer/remove.h"

#include <dirent.h>

#include <cerrno>
#include <string>
#include <vector>

#include "core/fault.h"
#include "core/layer/descent.h"
#include "core/layer/listing.h"

namespace caisson {

namespace {

[[noreturn]] void fail(const char* name, const char* call, int error) {
  throw Fault{Fault::Kind::System, "removing", name, call, -error};
}

class Emptier {
 public:
  Emptier(FileSystem& files, int directory, const char* name, const Keeps& keeps)
      : files_(files), keeps_(keeps), here_(files, directory, name) {}

  void run() {
    list();
    for (;;) {
      std::vector<std::string>& next = directories_.back();
      if (!next.empty()) {
        std::string name = std::move(next.back());
        next.pop_back();
        files_.unlock_own(here_.fd(), name.c_str());
        here_.enter(name.c_str());
        list();
        continue;
      }
      directories_.pop_back();
      if (here_.depth() == 0) return;
      std::string done = here_.name();
      here_.leave();
      remove(done.c_str(), true);
    }
  }

 private:
  // Removes what is no directory, and leaves the directories for later.
  void list() {
    std::vector<std::string> directories, others;
    for_each_name(here_.fd(), [&](const char* name, uint8_t type) {
      (type == DT_DIR || type == DT_UNKNOWN ? directories : others).emplace_back(name);
    });
    for (const std::string& name : others) remove(name.c_str(), false);
    // What the file system did not tell.
    std::erase_if(directories, [&](const std::string& name) {
      struct stat status;
      int error = files_.status(here_.fd(), name.c_str(), &status);
      if (error == -ENOENT) return true;
      if (error < 0) fail(name.c_str(), "fstatat", error);
      if (S_ISDIR(status.st_mode)) return false;
      remove(name.c_str(), false);
      return true;
    });
    directories_.push_back(std::move(directories));
  }

  void remove(const char* name, bool is_directory) {
    if (keeps_ && keeps_(here_.device(), here_.inode(), name)) return;
    int error = files_.remove(here_.fd(), name, is_directory);
    if (error == -ENOTEMPTY && keeps_) return;
    if (error < 0 && error != -ENOENT) fail(name, "unlinkat", error);
  }

  FileSystem& files_;
  const Keeps& keeps_;
  Descent here_;
  std::vector<std::vector<std::string>> directories_;  // of each level, those left to be entered
};

}  // namespace

void remove_content(FileSystem& files, int directory, const char* name, const Keeps& keeps) {
  if (name[0]) files.unlock_own(directory, name);
  Emptier(files, directory, name, keeps).run();
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
