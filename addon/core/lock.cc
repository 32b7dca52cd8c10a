#include "core/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

namespace caisson {

namespace {

// Whether the file is still what the path leads to: its last holder may have renamed or removed it in the meantime, and
// then a lock on it is one on nothing. Minus an errno when that cannot be told.
int is_still(int fd, const std::string& path) {
  struct stat ours, named;
  if (fstat(fd, &ours) < 0) return -errno;
  if (stat(path.c_str(), &named) < 0) return errno == ENOENT ? 0 : -errno;
  return ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

Result<int> lock_file(const std::string& path, bool exclusive, bool wait) {
  for (;;) {
    Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return failed("lock", "open", path);
    int result;
    do result = flock(fd.get(), (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
    while (result < 0 && errno == EINTR);
    if (result < 0 && errno == EWOULDBLOCK) return -1;
    if (result < 0) return failed("lock", "flock", path);
    const int still = is_still(fd.get(), path);
    if (still > 0) return fd.release();
    if (still < 0) return failed("lock", "stat", path, -still);
  }
}

}  // namespace caisson
