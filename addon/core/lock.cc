#include "core/lock.h"

#include <fcntl.h>
#include <sys/file.h>

namespace caisson {

Result<int> lock_file(const std::string& path, bool exclusive, bool wait) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return failed("lock", "open", path);
  int result;
  do result = flock(fd.get(), (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
  while (result < 0 && errno == EINTR);
  if (result == 0) return fd.release();
  if (errno == EWOULDBLOCK) return -1;
  return failed("lock", "flock", path);
}

}  // namespace caisson
