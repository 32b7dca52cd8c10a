#include "core/sys.h"

#include <fcntl.h>

namespace caisson::sys {

std::string read_file(const std::string& path, size_t limit, bool short_lines) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string text;
  if (!fd) return text;
  errno = 0;
  char buffer[4096];
  ssize_t n;
  while (text.size() < limit && (n = read(fd.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, n);
    if (short_lines && n < static_cast<ssize_t>(sizeof buffer / 2)) break;
  }
  return text;
}

bool write_file(const std::string& path, const std::string& text) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return false;
  return write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace caisson::sys
