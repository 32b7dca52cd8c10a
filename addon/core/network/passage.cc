#include "core/network/passage.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace caisson {

namespace {

constexpr size_t CHUNK = 1 << 20, PIPE = 1 << 20;
// Of one connection, until the others have had their turn.
constexpr size_t TURN = 8 << 20;
// Two sockets, and two pipes.
constexpr size_t DESCRIPTORS = 6;

std::atomic<size_t> passages = 0;

bool later(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

void break_off(const Fd& socket) {
  const linger reset = {1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

void bound_buffers(int socket, size_t bytes) {
  // The kernel takes twice that, for what it needs besides.
  const int size = static_cast<int>(bytes / 2);
  for (int option : {SO_RCVBUF, SO_SNDBUF}) setsockopt(socket, SOL_SOCKET, option, &size, sizeof size);
}

bool Flow::open(size_t most) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return false;
  out.reset(ends[0]);
  in.reset(ends[1]);
  fcntl(in.get(), F_SETPIPE_SZ, static_cast<int>(most));
  return true;
}

bool Flow::move(size_t* left) {
  for (bool moved = true; moved && *left > 0;) {
    moved = false;
    if (!ended) {
      ssize_t n = splice(from, nullptr, in.get(), nullptr, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (n > 0) {
        waiting += static_cast<size_t>(n);
        moved = true;
      } else if (n == 0) {
        ended = true;
      } else if (!later(errno)) {
        return false;
      }
    }
    if (waiting > 0) {
      ssize_t n = splice(out.get(), nullptr, to, nullptr, waiting, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (n > 0) {
        waiting -= static_cast<size_t>(n);
        *left -= std::min(*left, static_cast<size_t>(n));
        bytes += static_cast<uint64_t>(n);
        moved = true;
      } else if (n < 0 && !later(errno)) {
        // What it has said before is still to be passed on.
        unheard = true;
        drop();
      }
    }
  }
  if (ended && waiting == 0 && !told) {
    told = true;
    shutdown(to, SHUT_WR);
  }
  return true;
}

void Flow::drop() {
  ended = told = true;
  waiting = 0;
  in.reset();
  out.reset();
}

bool Passage::room() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return false;
  return passages < std::max<size_t>(limit.rlim_cur / 2 / DESCRIPTORS, 1);
}

std::shared_ptr<Passage> Passage::make(Fd inside, Fd outside, size_t buffer) {
  const size_t pipe = buffer == 0 ? PIPE : std::min(buffer, PIPE);
  std::shared_ptr<Passage> made(new Passage(std::move(inside), std::move(outside)));
  return made->there_.open(pipe) && made->back_.open(pipe) ? made : nullptr;
}

Passage::Passage(Fd inside, Fd outside) : inside_(std::move(inside)), outside_(std::move(outside)) {
  passages++;
  int on = 1;
  for (const Fd* fd : {&inside_, &outside_}) setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  there_.from = back_.to = inside_.get();
  there_.to = back_.from = outside_.get();
}

Passage::~Passage() { passages--; }

void Passage::start(std::function<void()> gone) {
  gone_ = std::move(gone);
  self_ = shared_from_this();
  if (!watch()) close();
}

bool Passage::watch() {
  for (Fd* fd : {&inside_, &outside_})
    if (!Supervisor::traffic().add(fd->get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this)) return false;
  return true;
}

void Passage::ready(uint32_t) {
  if (!self_) return;
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(outside_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return close();
    sockaddr_storage peer;
    size = sizeof peer;
    // Only the one inside has said something yet.
    if (getpeername(outside_.get(), reinterpret_cast<sockaddr*>(&peer), &size) < 0) return;
    connected_ = true;
  }
  size_t left = TURN;
  if (!there_.move(&left) || !back_.move(&left) || (there_.told && back_.told)) return close();
  if (left > 0 || again_) return;
  again_ = true;
  // Events come once; the rest of this one waits its turn.
  Supervisor::traffic().post([self = shared_from_this()] {
    self->again_ = false;
    self->ready(0);
  });
}

void Passage::drain() {
  if (!self_) return;
  back_.drop();
  ready(0);
}

// Who waits on the other side of what broke off learns it by a reset, as from the program itself.
void Passage::close() {
  if (!self_) return;
  const bool broken = !(there_.told && back_.told) || there_.unheard || back_.unheard;
  for (Fd* fd : {&inside_, &outside_}) {
    Supervisor::traffic().remove(fd->get(), this);
    if (broken) break_off(*fd);
    fd->reset();
  }
  for (Flow* flow : {&there_, &back_}) flow->drop();
  auto self = std::move(self_);
  if (auto gone = std::move(gone_)) gone();
}

}  // namespace caisson
