#include "core/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/sys.h"

namespace caisson {

namespace {

uint64_t inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

constexpr int DEPTH_MAX = 33;  // of user namespaces, which the kernel bounds at 32

}  // namespace

Result<Namespace> open_namespace(const std::string& path) {
  // First without opening the file itself: a device or a FIFO would do something.
  Fd place(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return failed("namespaces", "open", path);
  struct statfs status;
  if (fstatfs(place.get(), &status) < 0) return failed("namespaces", "fstatfs", path);
  if (status.f_type != NSFS_MAGIC) return failed("namespaces", "ioctl", path, EINVAL);
  Fd fd(open(("/proc/self/fd/" + std::to_string(place.get())).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failed("namespaces", "open", path);
  int flag = ioctl(fd.get(), NS_GET_NSTYPE);
  if (flag < 0) return failed("namespaces", "ioctl", path);
  uint64_t inode = inode_of(fd.get());
  return Namespace{std::move(fd), flag, inode};
}

NamespaceFacts namespace_facts(int fd) {
  NamespaceFacts facts;
  if (Fd parent(ioctl(fd, NS_GET_PARENT)); parent) facts.parent = inode_of(parent.get());
  uid_t uid;
  if (ioctl(fd, NS_GET_OWNER_UID, &uid) == 0) facts.owner_uid = uid;
  Fd owner(ioctl(fd, NS_GET_USERNS));
  while (owner && facts.owners.size() < DEPTH_MAX) {
    facts.owners.push_back(inode_of(owner.get()));
    owner.reset(ioctl(owner.get(), NS_GET_PARENT));
  }
  return facts;
}

Result<> persist_namespace(int fd, const std::string& path) {
  Fd target(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  bool made = static_cast<bool>(target);
  if (!made && errno != EEXIST) return failed("namespaces", "open", path);
  std::string source = "/proc/self/fd/" + std::to_string(fd);
  if (mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0) return Nothing{};
  Failure failure = failed("namespaces", "mount", path);
  if (made) unlink(path.c_str());
  return failure;
}

}  // namespace caisson
