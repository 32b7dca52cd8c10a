// Collects what a program writes to a pipe, up to a bound, until someone wants the pipe itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/fd.h"
#include "core/supervisor.h"

namespace caisson {

class Capture : public Supervisor::Source {
 public:
  // Called on the supervisor's thread with what just came in.
  using OnBytes = std::function<void(const char*, size_t)>;

  Capture() = default;
  Capture(const Capture&) = delete;

  // False with errno set: nothing will be read before finish(). `writer`: the other end, kept open so that the end of the
  // stream wakes nobody; for who learns of it by other means.
  bool start(Fd fd, OnBytes on_bytes, Fd writer = {});
  // Reads what is there now, then closes. For when the writers are gone.
  void finish();
  // Gives the pipe away; what was read stays in `bytes`.
  Fd detach();

  void ready(uint32_t events) override;

  bool open() const { return static_cast<bool>(fd_); }
  // -1: it has none, or not any more.
  int writer() const { return writer_.get(); }
  std::string bytes;
  // Bytes above this are not kept; `kept` counts those of all captures that share the limit.
  uint64_t limit = 0;
  uint64_t* kept = nullptr;
  bool truncated = false;

 private:
  // False at the end of the stream.
  bool take(size_t at_most, bool until_dry);
  void close();

  Fd fd_, writer_;
  OnBytes on_bytes_;
};

}  // namespace caisson
