#include "core/layer/holes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace caisson {

bool is_hollow(const struct stat& status) {
  constexpr uint64_t UNIT = 512;  // of st_blocks, whatever the file system's own is
  return S_ISREG(status.st_mode) && static_cast<uint64_t>(status.st_blocks) * UNIT < static_cast<uint64_t>(status.st_size);
}

uint64_t holes_in(int fd, uint64_t size) {
  const auto end = static_cast<off_t>(size);
  uint64_t holes = 0;
  for (off_t at = 0; at < end;) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno != ENXIO) break;
    const off_t until = data < 0 ? end : std::min(data, end);
    holes += static_cast<uint64_t>(until - at);
    if (until == end) break;
    at = lseek(fd, until, SEEK_HOLE);
    if (at <= until) at = until + 1;
  }
  lseek(fd, 0, SEEK_SET);
  return holes;
}

}  // namespace caisson
