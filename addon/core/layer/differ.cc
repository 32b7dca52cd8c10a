#include "core/layer/differ.h"

#include <fcntl.h>

#include <algorithm>

#include "core/fault.h"
#include "core/layer/descent.h"
#include "core/layer/listing.h"
#include "core/layer/names.h"

namespace caisson {

namespace {

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

uint32_t outside(uint32_t id, const std::vector<IdRange>& map) {
  for (const IdRange& range : map)
    if (id >= range.inside && id - range.inside < range.count)
      return static_cast<uint32_t>(range.outside + (id - range.inside));
  return id;
}

class Differ {
 public:
  Differ(FileSystem& files, int upper, std::vector<int> lowers, const DiffOptions& options,
         const std::atomic<bool>& cancelled)
      : files_(files),
        options_(options),
        cancelled_(cancelled),
        here_(files, upper, ""),
        lowers_(files, std::move(lowers), options.xattrs) {}

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
    levels_.push_back(std::move(level));
    Level& here = levels_.back();
    const bool opaque = !options_.merged && here_.depth() > 0 && is_overlay_opaque(files_, here_.fd(), options_.xattrs);
    if (here.layers.empty() || !(opaque || options_.merged)) return;
    if (opaque)
      for (Level& level : levels_) tell_directory(level);
    for (const std::string& name : lowers_.names(here.path, here.layers))
      if (!std::binary_search(here.names.begin(), here.names.end(), name))
        tell({'/' + join_path(here.path, name), Change::Kind::Deleted});
  }

  void look(Level& level, const std::string& name) {
    struct stat status;
    int error = files_.status(here_.fd(), name.c_str(), &status);
    if (error == -ENOENT) return;  // a container that runs goes on
    if (error < 0) throw Fault{Fault::Kind::System, "reading the writable layer", name, "fstatat", -error};
    const std::string path = join_path(level.path, name);
    auto lower = lowers_.find(level.path, level.layers, name);
    if (!lower && options_.own.contains(path)) return;
    if (options_.merged && lower && same_time(status.st_ctim, lower->status.st_ctim)) return;
    if (!options_.merged && is_overlay_whiteout(status)) {
      if (lower) tell({'/' + path, Change::Kind::Deleted});
      return;
    }
    const bool both = lower && S_ISDIR(lower->status.st_mode) && S_ISDIR(status.st_mode);
    Level below;
    below.path = path;
    if (both) below.layers = lowers_.below(level.path, level.layers, name);
    if (!both || !same_directory(below, status, lower->status)) {
      tell({'/' + path, lower ? Change::Kind::Modified : Change::Kind::Added});
      below.told = true;
    }
    if (!S_ISDIR(status.st_mode)) return;
    try {
      here_.enter(name.c_str());
    } catch (const Fault& fault) {
      if (fault.error == ENOENT || fault.error == ENOTDIR || fault.error == ELOOP) return;
      throw;
    }
    start(std::move(below));
  }

  // A place that was made in it changes the time of a directory, and is no change of the container's.
  bool same_directory(const Level& level, const struct stat& now, const struct stat& before) {
    if (now.st_mode != before.st_mode || now.st_uid != outside(before.st_uid, options_.uids) ||
        now.st_gid != outside(before.st_gid, options_.gids))
      return false;
    if (same_time(now.st_mtim, before.st_mtim)) return true;
    const std::string prefix = level.path + '/';
    for (auto own = options_.own.lower_bound(prefix); own != options_.own.end() && own->starts_with(prefix); ++own) {
      const std::string name = own->substr(prefix.size());
      if (name.find('/') == std::string::npos && !lowers_.find(level.path, level.layers, name)) return true;
    }
    return false;
  }

  // A change in a directory is a change of it.
  void tell(Change change) {
    for (Level& level : levels_) tell_directory(level);
    keep(std::move(change));
  }
  void tell_directory(Level& level) {
    if (!level.told) keep({'/' + level.path, Change::Kind::Modified});
    level.told = true;
  }
  void keep(Change change) {
    bytes_ += change.path.size();
    if (bytes_ > CHANGES_BYTES_MAX) over_limit("changes whose paths have more than 256 MiB");
    changes_.push_back(std::move(change));
  }

  FileSystem& files_;
  const DiffOptions& options_;
  const std::atomic<bool>& cancelled_;
  Descent here_;
  Lowers lowers_;
  std::vector<Level> levels_;
  std::vector<Change> changes_;
  size_t bytes_ = 0;  // of their paths
};

}  // namespace

std::vector<Change> find_changes(FileSystem& files, int upper, std::vector<int> lowers, const DiffOptions& options,
                                 const std::atomic<bool>& cancelled) {
  return Differ(files, upper, std::move(lowers), options, cancelled).run();
}

}  // namespace caisson
