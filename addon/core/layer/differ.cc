#include "core/layer/differ.h"

#include <fcntl.h>

#include <algorithm>

#include "core/fault.h"
#include "core/layer/descent.h"
#include "core/layer/listing.h"

namespace caisson {

namespace {

bool same_directory(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

class Differ {
 public:
  Differ(FileSystem& files, int upper, std::vector<int> lowers, const std::string& xattrs,
         const std::atomic<bool>& cancelled)
      : files_(files),
        xattrs_(xattrs),
        cancelled_(cancelled),
        here_(files, upper, ""),
        lowers_(files, std::move(lowers), xattrs) {}

  std::vector<Change> run() {
    Level root;
    root.layers = lowers_.root();
    root.told = true;
    start(std::move(root));
    for (;;) {
      if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
      Level& level = levels_.back();
      if (level.next < level.names.size()) {
        look(level, level.names[level.next++]);
        continue;
      }
      levels_.pop_back();
      if (levels_.empty()) break;
      here_.leave();
    }
    std::sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    return std::move(changes_);
  }

 private:
  struct Level {
    std::string path;
    std::vector<std::string> names;  // of the upper directory
    size_t next = 0;
    Lowers::Layers layers;  // below, that are to be seen here
    bool told = false;      // there is a change for the directory itself
  };

  // Of the directory that was just entered.
  void start(Level level) {
    level.names = sorted_names(here_.fd());
    if (!level.layers.empty() && here_.depth() > 0 && is_overlay_opaque(files_, here_.fd(), xattrs_)) {
      for (Level& above : levels_) tell_directory(above);
      tell_directory(level);
      for (const std::string& name : lowers_.names(level.path, level.layers))
        if (!std::binary_search(level.names.begin(), level.names.end(), name))
          changes_.push_back({'/' + join(level.path, name), Change::Kind::Deleted});
    }
    levels_.push_back(std::move(level));
  }

  void look(Level& level, const std::string& name) {
    struct stat status;
    int error = files_.status(here_.fd(), name.c_str(), &status);
    if (error < 0) throw Fault{Fault::Kind::System, "reading the writable layer", name, "fstatat", -error};
    const std::string path = join(level.path, name);
    auto lower = lowers_.find(level.path, level.layers, name);
    if (is_overlay_whiteout(status)) {
      if (lower) tell({'/' + path, Change::Kind::Deleted});
      return;
    }
    const bool both = lower && S_ISDIR(lower->status.st_mode) && S_ISDIR(status.st_mode);
    Level below;
    below.path = path;
    if (both) below.layers = lowers_.below(level.path, level.layers, name);
    if (!both || !same_directory(status, lower->status)) {
      tell({'/' + path, lower ? Change::Kind::Modified : Change::Kind::Added});
      below.told = true;
    }
    if (!S_ISDIR(status.st_mode)) return;
    here_.enter(name.c_str());
    start(std::move(below));
  }

  // A change in a directory is a change of it.
  void tell(Change change) {
    for (Level& level : levels_) tell_directory(level);
    changes_.push_back(std::move(change));
  }
  void tell_directory(Level& level) {
    if (!level.told) changes_.push_back({'/' + level.path, Change::Kind::Modified});
    level.told = true;
  }

  static std::string join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + '/' + name;
  }

  FileSystem& files_;
  const std::string& xattrs_;
  const std::atomic<bool>& cancelled_;
  Descent here_;
  Lowers lowers_;
  std::vector<Level> levels_;
  std::vector<Change> changes_;
};

}  // namespace

std::vector<Change> find_changes(FileSystem& files, int upper, std::vector<int> lowers, const std::string& xattrs,
                                 const std::atomic<bool>& cancelled) {
  return Differ(files, upper, std::move(lowers), xattrs, cancelled).run();
}

}  // namespace caisson
