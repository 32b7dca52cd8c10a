// Two connected sockets, each of which gets what the other one says, passed on in the kernel: from socket to pipe to
// socket (splice(2)), never through our memory. The end of one direction leaves the other open.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/fd.h"
#include "core/supervisor.h"

namespace caisson {

// One direction: what was read from a socket waits in a pipe for the other.
struct Flow {
  int from = -1, to = -1;
  Fd in, out;
  size_t waiting = 0;
  // What has been said is over; the other side was told so; it does not listen any more.
  bool ended = false, told = false, unheard = false;
  std::atomic<uint64_t> bytes = 0;

  // `most`: bytes of the pipe, at most.
  bool open(size_t most);
  // false: the connection is broken. `left` is what it may still move.
  bool move(size_t* left);
  // Nobody is to hear the rest.
  void drop();
};

// Bytes that wait in the kernel, each way, on the two sockets of a connection and in the pipes between them; the kernel
// itself goes up to some megabytes each where nobody reads, and counts them for nobody's limit. To be called before the
// sockets are read from.
void bound_buffers(int socket, size_t bytes);

// Its close(2) is a reset for the other side.
void break_off(const Fd& socket);

class Passage final : public Supervisor::Source, public std::enable_shared_from_this<Passage> {
 public:
  // Whether there are descriptors for one more: all together take no more than half of those that this process may have.
  static bool room();
  // From any thread. `outside` may be on its way still. Nothing (errno): no descriptors.
  // `buffer`: see bound_buffers; 0: as much as the kernel gives.
  static std::shared_ptr<Passage> make(Fd inside, Fd outside, size_t buffer = 0);
  ~Passage();

  // The rest on the thread of the traffic. `gone` is called once, at its end; until then it keeps itself.
  void start(std::function<void()> gone);
  void ready(uint32_t) override;
  // Nobody is left inside: what was said there is passed on, and that is the end.
  void drain();
  void close();

  // On any thread: bytes that the other side has taken.
  uint64_t sent() const { return there_.bytes; }
  uint64_t received() const { return back_.bytes; }

 private:
  Passage(Fd inside, Fd outside);
  bool watch();

  Fd inside_, outside_;
  Flow there_, back_;
  bool connected_ = false, again_ = false;
  std::function<void()> gone_;
  std::shared_ptr<Passage> self_;
};

}  // namespace caisson
