#include "core/layer/filesystem.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace caisson {

namespace {

template <typename T>
T checked(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

}  // namespace

bool FileSystem::enter_thread() {
  // Since Linux 2.6.16: a thread can have a umask of its own.
  if (unshare(CLONE_FS) < 0) return false;
  umask(0);
  return true;
}

int FileSystem::open(int directory, const char* name, int flags, mode_t mode) {
  return checked(openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC, mode));
}

namespace {

int open_resolved(int root, const char* path, int flags, uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  long result;
  // EAGAIN: something was renamed while ".." was resolved.
  int attempts = 0;
  do result = syscall(SYS_openat2, root, path, &how, sizeof how);
  while (result < 0 && errno == EAGAIN && ++attempts < 100);
  return static_cast<int>(checked(result));
}

}  // namespace

int FileSystem::open_below(int root, const char* path, int flags) {
  return open_resolved(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int FileSystem::open_plain(int root, const char* path, int flags) {
  return open_resolved(root, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int FileSystem::reopen(int fd, int flags) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return checked(::open(link.c_str(), flags | O_CLOEXEC));
}

int FileSystem::make_directory(int directory, const char* name, mode_t mode) {
  return checked(mkdirat(directory, name, mode));
}

int FileSystem::make_node(int directory, const char* name, mode_t mode, dev_t device) {
  return checked(mknodat(directory, name, mode, device));
}

int FileSystem::make_symlink(const char* target, int directory, const char* name) {
  return checked(symlinkat(target, directory, name));
}

int FileSystem::make_link(int from, const char* from_name, int directory, const char* name) {
  return checked(linkat(from, from_name, directory, name, 0));
}

int FileSystem::remove(int directory, const char* name, bool is_directory) {
  return checked(unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0));
}

int FileSystem::status(int directory, const char* name, struct stat* result) {
  return checked(fstatat(directory, name, result, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

ssize_t FileSystem::read_link(int directory, const char* name, char* target, size_t size) {
  return checked(readlinkat(directory, name, target, size));
}

int FileSystem::set_owner(int directory, const char* name, uid_t uid, gid_t gid) {
  return checked(fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

int FileSystem::set_times(int directory, const char* name, const timespec times[2]) {
  if (name[0] == '\0') return checked(futimens(directory, times));
  return checked(utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW));
}

void FileSystem::unlock_own(int directory, const char* name) {
  struct stat status;
  if (geteuid() == 0 || fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return;
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0700) == 0700) return;
  fchmodat(directory, name, (status.st_mode & 07777) | 0700, AT_SYMLINK_NOFOLLOW);
}

int FileSystem::set_mode(int fd, mode_t mode) { return checked(fchmod(fd, mode)); }

int FileSystem::set_xattr(int fd, const char* name, const void* value, size_t size) {
  return checked(fsetxattr(fd, name, value, size, 0));
}

ssize_t FileSystem::get_xattr(int fd, const char* name, void* value, size_t size) {
  return checked(fgetxattr(fd, name, value, size));
}

ssize_t FileSystem::list_xattrs(int fd, char* names, size_t size) { return checked(flistxattr(fd, names, size)); }

}  // namespace caisson
