#include "core/layer/tree.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <vector>

#include "core/fault.h"
#include "core/layer/names.h"

namespace caisson {

namespace {

constexpr int READING = O_RDONLY | O_DIRECTORY;

[[noreturn]] void fail(const std::string& path, const char* call, int error) {
  throw Fault{Fault::Kind::System, "a directory on the way", path, call, -error};
}

}  // namespace

Tree::Directory Tree::find(const std::string& path) { return get(path, false); }

Tree::Directory Tree::make(const std::string& path) { return get(path, true); }

Tree::Directory Tree::get(const std::string& path, bool making) {
  if (auto there = open_.find(path); there != open_.end()) return there->second;
  Directory directory = open(path);
  return directory ? directory : walk(path, making);
}

// In one call where the kernel has it. Null when that does not find it.
Tree::Directory Tree::open(const std::string& path) {
  if (path.size() > PATH_BYTES_MAX) fail(path, "openat2", -ENAMETOOLONG);
  if (!has_openat2_) return nullptr;
  const char* name = path.empty() ? "." : path.c_str();
  int fd = files_.open_below(root_, name, READING);
  if (fd == -EACCES) fd = files_.open_below(root_, name, O_PATH | O_DIRECTORY);
  // EPERM: a filter around this process may not know the call.
  if (fd == -ENOSYS || fd == -EPERM) {
    has_openat2_ = false;
    return nullptr;
  }
  if (fd == -ENOENT || fd == -ENOTDIR) return nullptr;
  if (fd < 0) fail(path, "openat2", fd);
  return keep(path, Fd(fd));
}

Tree::Directory Tree::keep(std::string path, Fd fd) {
  auto directory = std::make_shared<OpenDirectory>();
  struct stat status;
  if (int error = files_.status(fd.get(), "", &status)) fail(path, "fstatat", error);
  directory->path = path;
  directory->fd = std::move(fd);
  directory->device = status.st_dev;
  directory->inode = status.st_ino;
  for (auto& [other, there] : open_)
    if (there->device == directory->device && there->inode == directory->inode) {
      // Reached through a link: one time and mode for both paths.
      Directory same = there;
      return open_.insert_or_assign(std::move(path), same).first->second;
    }
  directory->gives_group = status.st_mode & S_ISGID;
  if (events_.keeps_time(*directory)) directory->time = status.st_mtim;
  if ((status.st_mode & 0700) != 0700 && status.st_uid == geteuid() && geteuid() != 0) {
    // Its owner opens it for the time being.
    if (files_.set_mode(directory->fd.get(), (status.st_mode & 07777) | 0700) == 0)
      directory->mode = status.st_mode & 07777;
  }
  if (open_.size() >= DIRECTORIES_MAX) forget();
  if (auto before = open_.find(path); before != open_.end()) {
    close(*before->second);
    before->second = directory;
  } else {
    open_.emplace(std::move(path), directory);
  }
  return directory;
}

void Tree::close(OpenDirectory& directory) {
  auto failed = [&](int error, const char* call) {
    if (error < 0 && directory.named) throw Fault{Fault::Kind::System, "its metadata", directory.path, call, -error};
  };
  const int fd = directory.fd.get();
  if (directory.time) {
    const timespec times[2] = {*directory.time, *directory.time};
    failed(files_.set_times(fd, "", times), "utimensat");
  }
  if (directory.mode) failed(files_.set_mode(fd, *directory.mode), "fchmod");
  directory.time.reset();
  directory.mode.reset();
}

void Tree::forget() {
  auto closing = std::move(open_);
  open_.clear();
  for (auto& [path, directory] : closing) close(*directory);
}

// Component by component, with the links resolved here: ".." leads to the directory that we came from, which is held
// open, and a link to an absolute path to the root. What is missing counts as a directory: a link "missing/../etc" leads
// to "etc", as in containerd.
Tree::Directory Tree::walk(const std::string& path, bool making) {
  std::vector<Level> levels;
  std::vector<std::string> pending;  // the next one last
  auto add = [&](std::string_view more) {
    auto parts = components(more);
    for (size_t i = parts.size(); i-- > 0;) pending.emplace_back(parts[i]);
  };
  add(path);
  int links = 0;
  while (!pending.empty()) {
    std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      if (!levels.empty()) levels.pop_back();
      continue;
    }
    Level next{levels.empty() ? name : levels.back().path + '/' + name, std::move(name), Fd()};
    if (next.path.size() > PATH_BYTES_MAX) fail(path, "openat", -ENAMETOOLONG);
    const int above = levels.empty() ? root_ : levels.back().fd.get();
    const std::string link = above < 0 ? "" : look(above, next);
    if (!link.empty()) {
      if (++links > LINKS_MAX) fail(path, "openat", -ELOOP);
      if (link.starts_with('/')) levels.clear();
      add(link);
      continue;
    }
    levels.push_back(std::move(next));
  }
  int above = root_;
  for (Level& level : levels) {
    if (!level.fd && !making) return nullptr;
    if (!level.fd) make_level(above, level);
    above = level.fd.get();
  }
  int fd = files_.open(above, ".", READING);
  if (fd == -EACCES) fd = files_.open(above, ".", O_PATH | O_DIRECTORY);
  if (fd < 0) fail(path, "openat", fd);
  return keep(path, Fd(fd));
}

// Opens a directory; of a link it gives the target. Leaves the level without a descriptor when it is neither.
std::string Tree::look(int above, Level& level) {
  int fd = files_.open(above, level.name.c_str(), O_PATH);
  if (fd == -ENOENT) return "";
  if (fd < 0) fail(level.path, "openat", fd);
  Fd found(fd);
  struct stat status;
  if (int error = files_.status(fd, "", &status); error < 0) fail(level.path, "fstatat", error);
  if (S_ISDIR(status.st_mode)) level.fd = std::move(found);
  if (!S_ISLNK(status.st_mode)) return "";
  char target[PATH_MAX];
  ssize_t size = files_.read_link(fd, "", target, sizeof target);
  if (size <= 0) fail(level.path, "readlinkat", size < 0 ? static_cast<int>(size) : -ENOENT);
  return {target, static_cast<size_t>(size)};
}

void Tree::make_level(int above, Level& level) {
  hold_parent(above, level.path);
  const char* name = level.name.c_str();
  int error = files_.make_directory(above, name, 0755);
  struct stat status;
  if (error == -EEXIST && files_.status(above, name, &status) == 0 && !S_ISDIR(status.st_mode)) {
    if (!events_.clear(above, name, status)) fail(level.path, "mkdirat", -ENOTDIR);
    error = files_.make_directory(above, name, 0755);
  }
  if (error < 0) fail(level.path, "mkdirat", error);
  int fd = files_.open(above, name, READING);
  if (fd < 0) fail(level.path, "openat", fd);
  Directory made = keep(level.path, Fd(fd));
  events_.made(made);
  fd = files_.open(made->fd.get(), ".", O_PATH | O_DIRECTORY);
  if (fd < 0) fail(level.path, "openat", fd);
  level.fd.reset(fd);
}

// So that its time comes back after the change.
void Tree::hold_parent(int directory, const std::string& path) {
  std::string parent(split_path(path).parent);
  if (open_.contains(parent)) return;
  int fd = files_.open(directory, ".", READING);
  if (fd < 0) fail(parent, "openat", fd);
  keep(std::move(parent), Fd(fd));
}

}  // namespace caisson
