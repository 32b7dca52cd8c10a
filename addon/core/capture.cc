#include "core/capture.h"

#include <sys/epoll.h>

#include <algorithm>
#include <memory>

namespace caisson {

namespace {

constexpr size_t PIECE = 256 << 10;
// More than a pipe can hold: what was written before the writers ended is all read.
constexpr size_t REST = 2 << 20;

char* scratch() {
  static auto* buffer = new char[PIECE];  // one thread only: the supervisor's
  return buffer;
}

}  // namespace

bool Capture::start(Fd fd, OnBytes on_bytes, Fd writer) {
  fd_ = std::move(fd);
  writer_ = std::move(writer);
  on_bytes_ = std::move(on_bytes);
  return Supervisor::shared().add(fd_.get(), EPOLLIN, this);
}

bool Capture::take(size_t at_most, bool until_dry) {
  size_t total = 0;
  while (total < at_most) {
    ssize_t n = read(fd_.get(), scratch(), PIECE);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    total += n;
    size_t room = limit > *kept ? limit - *kept : 0;
    bytes.append(scratch(), std::min<size_t>(n, room));
    *kept += std::min<size_t>(n, room);
    if (static_cast<size_t>(n) > room) truncated = true;
    if (on_bytes_) on_bytes_(scratch(), n);
    if (!until_dry) break;
  }
  return true;
}

void Capture::ready(uint32_t) {
  // One piece a turn, so that a flood does not keep the others waiting.
  if (!take(PIECE, false)) close();
}

void Capture::finish() {
  if (fd_) take(REST, true);
  close();
}

void Capture::close() {
  if (!fd_) return;
  Supervisor::shared().remove(fd_.get(), this);
  fd_.reset();
  writer_.reset();
}

Fd Capture::detach() {
  if (fd_) Supervisor::shared().remove(fd_.get(), this);
  writer_.reset();
  return std::move(fd_);
}

}  // namespace caisson
