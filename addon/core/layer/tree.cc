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

Tree::Directory Tree::find(const std::string& path) {
  auto there = open_.find(path);
  return there != open_.end() ? there->second : open(path);
}

Tree::Directory Tree::make(const std::string& path) {
  Directory directory = find(path);
  return directory ? directory : walk(path, true);
}

// In one call where the kernel has it.
Tree::Directory Tree::open(const std::string& path) {
  if (path.size() > PATH_BYTES_MAX) fail(path, "openat2", -ENAMETOOLONG);
  if (!has_openat2_) return walk(path, false);
  const char* name = path.empty() ? "." : path.c_str();
  int fd = files_.open_below(root_, name, READING);
  if (fd == -EACCES) fd = files_.open_below(root_, name, O_PATH | O_DIRECTORY);
  // EPERM: a filter around this process may not know the call.
  if (fd == -ENOSYS || fd == -EPERM) {
    has_openat2_ = false;
    return walk(path, false);
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
// open, and a link to an absolute path to the root.
Tree::Directory Tree::walk(const std::string& path, bool making) {
  struct Level {
    Fd fd;
    std::string path;
  };
  std::vector<Level> levels;
  std::vector<std::string> pending;  // the next one last
  auto add = [&](std::string_view more) {
    auto parts = components(more);
    for (size_t i = parts.size(); i-- > 0;) pending.emplace_back(parts[i]);
  };
  auto top = [&] { return levels.empty() ? root_ : levels.back().fd.get(); };
  add(path);
  int links = 0;
  while (!pending.empty()) {
    std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      if (!levels.empty()) levels.pop_back();
      continue;
    }
    std::string here = levels.empty() ? name : levels.back().path + '/' + name;
    if (here.size() > PATH_BYTES_MAX) fail(path, "openat", -ENAMETOOLONG);
    std::string link;
    Fd next = step_into(top(), name, here, making, &link);
    if (!link.empty()) {
      if (++links > LINKS_MAX) fail(path, "openat", -ELOOP);
      if (link.starts_with('/')) levels.clear();
      add(link);
      continue;
    }
    if (!next) return nullptr;
    levels.push_back({std::move(next), std::move(here)});
  }
  int fd = files_.open(top(), ".", READING);
  if (fd == -EACCES) fd = files_.open(top(), ".", O_PATH | O_DIRECTORY);
  if (fd < 0) fail(path, "openat", fd);
  return keep(path, Fd(fd));
}

// So that its time comes back after the change.
void Tree::hold_parent(int directory, const std::string& path) {
  std::string parent(split_path(path).parent);
  if (open_.contains(parent)) return;
  int fd = files_.open(directory, ".", READING);
  if (fd < 0) fail(parent, "openat", fd);
  keep(std::move(parent), Fd(fd));
}

// One component that is not "..". Gives the directory, or the target of a link, or neither when there is none.
Fd Tree::step_into(int directory, const std::string& name, const std::string& path, bool making, std::string* link) {
  int fd = files_.open(directory, name.c_str(), O_PATH);
  if (fd >= 0) {
    Fd next(fd);
    struct stat status;
    if (int error = files_.status(fd, "", &status)) fail(path, "fstatat", error);
    if (S_ISDIR(status.st_mode)) return next;
    if (S_ISLNK(status.st_mode)) {
      char target[PATH_MAX];
      ssize_t size = files_.read_link(fd, "", target, sizeof target);
      if (size <= 0) fail(path, "readlinkat", size < 0 ? static_cast<int>(size) : -ENOENT);
      link->assign(target, static_cast<size_t>(size));
      return Fd();
    }
    if (!making) return Fd();
    hold_parent(directory, path);
    if (!events_.clear(directory, name.c_str(), status)) fail(path, "openat", -ENOTDIR);
  } else if (fd != -ENOENT) {
    fail(path, "openat", fd);
  } else if (!making) {
    return Fd();
  }
  hold_parent(directory, path);
  if (int error = files_.make_directory(directory, name.c_str(), 0755); error < 0 && error != -EEXIST)
    fail(path, "mkdirat", error);
  fd = files_.open(directory, name.c_str(), READING);
  if (fd < 0) fail(path, "openat", fd);
  Directory made = keep(path, Fd(fd));
  events_.made(made);
  fd = files_.open(made->fd.get(), ".", O_PATH | O_DIRECTORY);
  if (fd < 0) fail(path, "openat", fd);
  return Fd(fd);
}

}  // namespace caisson
