#include "core/init_image.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include <mutex>

#include "core/fd.h"
#include "core/sys.h"

extern "C" {
extern const char caisson_init_image[];
extern const char caisson_init_image_end[];
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace caisson {

namespace {

Result<int> make() {
  // MFD_EXEC is unknown before Linux 6.3, where memory files are always executable.
  Fd fd(static_cast<int>(syscall(SYS_memfd_create, "caisson-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)));
  if (!fd && errno == EINVAL)
    fd.reset(static_cast<int>(syscall(SYS_memfd_create, "caisson-init", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!fd) return failed("init", "memfd_create");
  size_t size = caisson_init_image_end - caisson_init_image;
  if (write(fd.get(), caisson_init_image, size) != static_cast<ssize_t>(size)) return failed("init", "write");
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
    return failed("init", "fcntl", "F_ADD_SEALS");
  return fd.release();
}

}  // namespace

Result<int> init_image() {
  static std::mutex mutex;
  static int image = -1;
  std::lock_guard lock(mutex);
  if (image >= 0) return image;
  auto made = make();
  if (made) image = *made;
  return made;
}

}  // namespace caisson
