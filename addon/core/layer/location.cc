#include "core/layer/location.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "core/fault.h"

namespace caisson {

Fd Location::open(const char* what, int flags) {
  if (fd) return std::move(fd);
  Fd opened(::open(path.c_str(), flags | O_CLOEXEC));
  if (!opened) throw Fault{Fault::Kind::System, what, path, "open", errno};
  return opened;
}

StopEvent::StopEvent() : event_(eventfd(0, EFD_CLOEXEC)) {}

void StopEvent::raise() {
  set_ = true;
  if (event_) eventfd_write(event_.get(), 1);
}

void StopEvent::wait(int fd, short events) {
  if (!event_) system_fault("waiting", "eventfd", EMFILE);
  pollfd polled[2] = {{fd, events, 0}, {event_.get(), POLLIN, 0}};
  while (poll(polled, 2, -1) < 0)
    if (errno != EINTR) system_fault("waiting", "poll");
}

FileSink::FileSink(Fd fd) : fd_(std::move(fd)) {
  struct stat status;
  if (fstat(fd_.get(), &status) == 0 && !S_ISREG(status.st_mode))
    fcntl(fd_.get(), F_SETFL, fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
}

void FileSink::write(const uint8_t* data, size_t size) {
  while (size > 0) {
    if (stopping_.set()) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    ssize_t done = ::write(fd_.get(), data, size);
    if (done < 0 && errno == EAGAIN) {
      stopping_.wait(fd_.get(), POLLOUT);
      continue;
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) system_fault("writing the archive", "write");
    data += done;
    size -= static_cast<size_t>(done);
  }
}

}  // namespace caisson
