#include "core/layer/settle.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "core/fault.h"
#include "core/layer/lowers.h"
#include "core/layer/names.h"
#include "core/layer/xattr.h"

namespace caisson {

namespace {

[[noreturn]] void fail(const std::string& path, const char* call, int error) {
  throw Fault{Fault::Kind::System, "settling with the layers below", path, call, -error};
}

class Settler {
 public:
  Settler(FileSystem& files, int root, std::vector<int> lowers, const std::string& xattrs)
      : files_(files), root_(root), lowers_(files, std::move(lowers), xattrs) {}

  void directory(const std::string& path) {
    auto below = lowers_.find(path);
    if (!below || !S_ISDIR(below->status.st_mode)) return;
    Fd to = open(root_, path, O_RDONLY | O_DIRECTORY), from = open_below(*below, path, O_RDONLY | O_DIRECTORY);
    copy_metadata(path, from.get(), to.get(), below->status);
  }

  void link(const std::string& path, const std::string& target) {
    auto below = lowers_.find(target);
    if (!below || S_ISDIR(below->status.st_mode)) fail(path, "linkat", -ENOENT);
    const auto [parent, base] = split_path(path);
    Fd directory = open(root_, std::string(parent), O_RDONLY | O_DIRECTORY);
    struct stat before;
    if (int error = files_.status(directory.get(), "", &before); error < 0) fail(path, "fstatat", error);
    const std::string name(base);
    // A later member of the layer has taken the name.
    struct stat there;
    if (files_.status(directory.get(), name.c_str(), &there) == 0) return;
    if (!link_to_copy(below->status, directory.get(), name.c_str())) {
      copy(path, target, *below, directory.get(), name.c_str());
      copies_[{below->status.st_dev, below->status.st_ino}] = path;
    }
    const timespec times[2] = {before.st_mtim, before.st_mtim};
    if (int error = files_.set_times(directory.get(), "", times); error < 0) fail(path, "utimensat", error);
  }

 private:
  // Names of one file stay that: a layer of nothing but links would fill the disk with copies. false: it was not copied.
  bool link_to_copy(const struct stat& below, int directory, const char* name) {
    auto first = copies_.find({below.st_dev, below.st_ino});
    if (first == copies_.end()) return false;
    const auto [parent, base] = split_path(first->second);
    Fd there = open(root_, std::string(parent), O_PATH | O_DIRECTORY);
    // Some file systems allow a file few names.
    const int error = files_.make_link(there.get(), std::string(base).c_str(), directory, name);
    if (error < 0 && error != -EMLINK) fail(name, "linkat", error);
    return error == 0;
  }

  Fd open(int root, const std::string& path, int flags) {
    int fd = files_.open_plain(root, path.empty() ? "." : path.c_str(), flags);
    if (fd < 0) fail(path, "openat2", fd);
    return Fd(fd);
  }
  Fd open_below(const Lowers::Member& member, const std::string& path, int flags) {
    return open(lowers_.root_of(member), path, flags);
  }

  void copy_metadata(const std::string& path, int from, int to, const struct stat& status) {
    auto check = [&](int error, const char* call) {
      if (error < 0) fail(path, call, error);
    };
    // An ordinary user's files are all theirs.
    if (geteuid() == 0) check(files_.set_owner(to, "", status.st_uid, status.st_gid), "fchownat");
    copy_xattrs(path, from, to);
    check(files_.set_mode(to, status.st_mode & 07777), "fchmod");
    const timespec times[2] = {status.st_mtim, status.st_mtim};
    check(files_.set_times(to, "", times), "utimensat");
  }

  void copy_xattrs(const std::string& path, int from, int to) {
    std::string names(64 << 10, '\0'), value(64 << 10, '\0');
    const ssize_t size = files_.list_xattrs(from, names.data(), names.size());
    if (size == -EOPNOTSUPP) return;
    if (size < 0) fail(path, "flistxattr", static_cast<int>(size));
    for (const char* name = names.data(); name < names.data() + size; name += strlen(name) + 1) {
      if (xattr_fate(name) == XattrFate::Dropped) continue;
      const ssize_t length = files_.get_xattr(from, name, value.data(), value.size());
      if (length < 0) fail(path, "fgetxattr", static_cast<int>(length));
      int error = files_.set_xattr(to, name, value.data(), static_cast<size_t>(length));
      if (error < 0 && error != -EOPNOTSUPP && error != -EPERM) fail(path, "fsetxattr", error);
    }
  }

  void copy(const std::string& path, const std::string& target, const Lowers::Member& below, int directory,
            const char* name) {
    const auto [parent, base] = split_path(target);
    Fd above = open_below(below, std::string(parent), O_PATH | O_DIRECTORY);
    const std::string target_name(base);
    const mode_t mode = below.status.st_mode;
    if (S_ISLNK(mode)) {
      char text[PATH_MAX];
      const ssize_t size = files_.read_link(above.get(), target_name.c_str(), text, sizeof text);
      if (size < 0) fail(path, "readlinkat", static_cast<int>(size));
      int error = files_.make_symlink(std::string(text, static_cast<size_t>(size)).c_str(), directory, name);
      if (error < 0) fail(path, "symlinkat", error);
    } else if (!S_ISREG(mode)) {
      if (int error = files_.make_node(directory, name, mode, below.status.st_rdev); error < 0)
        fail(path, "mknodat", error);
    } else {
      int fd = files_.open(above.get(), target_name.c_str(), O_RDONLY | O_NONBLOCK);
      if (fd < 0) fail(target, "openat", fd);
      Fd from(fd);
      fd = files_.open(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
      if (fd < 0) fail(path, "openat", fd);
      Fd to(fd);
      copy_data(path, from.get(), to.get(), below.status.st_size);
      copy_metadata(path, from.get(), to.get(), below.status);
      return;
    }
    if (geteuid() == 0) files_.set_owner(directory, name, below.status.st_uid, below.status.st_gid);
    const timespec times[2] = {below.status.st_mtim, below.status.st_mtim};
    files_.set_times(directory, name, times);
  }

  // Holes stay holes: what is nothing in the layer below would take its whole size here.
  static void copy_data(const std::string& path, int from, int to, off_t size) {
    constexpr off_t SIZE = 256 << 10;
    auto buffer = std::make_unique<char[]>(SIZE);
    for (off_t at = 0; at < size;) {
      off_t data = lseek(from, at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data < 0) data = at;
      off_t hole = lseek(from, data, SEEK_HOLE);
      if (hole < 0) hole = size;
      for (at = data; at < hole;) {
        const ssize_t n = pread(from, buffer.get(), static_cast<size_t>(std::min(SIZE, hole - at)), at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(path, "read", -errno);
        if (n == 0) fail(path, "read", -EIO);
        write_all(path, to, buffer.get(), static_cast<size_t>(n), at);
        at += n;
      }
    }
    if (ftruncate(to, size) < 0) fail(path, "ftruncate", -errno);
  }

  static void write_all(const std::string& path, int to, const char* bytes, size_t size, off_t at) {
    for (size_t done = 0; done < size;) {
      const ssize_t n = pwrite(to, bytes + done, size - done, at + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(path, "write", -errno);
      done += static_cast<size_t>(n);
    }
  }

  FileSystem& files_;
  const int root_;
  Lowers lowers_;
  // By what they are copies of.
  std::map<std::pair<dev_t, ino_t>, std::string> copies_;
};

}  // namespace

void settle(FileSystem& files, int root, std::vector<int> lowers, const std::string& xattrs,
            const std::vector<Unsettled>& unsettled) {
  Settler settler(files, root, std::move(lowers), xattrs);
  // Links first: they change the times of directories.
  for (const Unsettled& item : unsettled)
    if (!item.target.empty()) settler.link(item.path, item.target);
  // What is inside first: a mode may shut a directory.
  for (size_t i = unsettled.size(); i-- > 0;)
    if (unsettled[i].target.empty()) settler.directory(unsettled[i].path);
}

}  // namespace caisson
