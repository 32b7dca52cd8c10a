// Files and directories that the caller names, and waiting for their bytes.
#pragma once

#include <atomic>
#include <string>

#include "core/fd.h"

namespace caisson {

// A path, or a descriptor that is ours. Paths are opened on the thread that does the work: that may take its time.
struct Location {
  std::string path;
  Fd fd;

  // Once. Throws a Fault that says what it was for.
  Fd open(const char* what, int flags);
};

// Tells a thread that waits for a descriptor to stop.
class StopEvent {
 public:
  StopEvent();
  void raise();
  bool set() const { return set_; }
  // Until `fd` is ready for `events` of poll(2), or raise() was called. Throws a Fault.
  void wait(int fd, short events);

 private:
  Fd event_;
  std::atomic<bool> set_ = false;
};

// Writes bytes to a file, a pipe or a socket.
class FileSink {
 public:
  // What is not a file is made non-blocking.
  explicit FileSink(Fd fd);
  // Throws a Fault.
  void write(const uint8_t* data, size_t size);
  // From any thread: write() throws a Fault (Cancelled) from now on.
  void stop() { stopping_.raise(); }
  // Of a pipe the reader sees the end.
  void close() { fd_.reset(); }

 private:
  Fd fd_;
  StopEvent stopping_;
};

}  // namespace caisson
