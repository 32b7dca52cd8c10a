// TCP connections, passed on in the kernel: from socket to pipe to socket (splice(2)), never through our memory.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/network/publisher.h"

namespace caisson {

namespace {

constexpr size_t CHUNK = 1 << 20, PIPE = 1 << 20;
// Of one connection, until the others have had their turn.
constexpr size_t TURN = 8 << 20;
constexpr auto OUT_OF_DESCRIPTORS = std::chrono::milliseconds(50);
// Of one connection: two sockets, and two pipes.
constexpr size_t DESCRIPTORS = 6;

// Whoever connects takes no more than half of the descriptors that this process may have.
size_t most_connections() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  return std::max<size_t>(limit.rlim_cur / 2 / DESCRIPTORS, 1);
}

// Of all ports; on the thread of the traffic.
size_t connections_open = 0;

class Connection;

class StreamRelay final : public Publication, public Supervisor::Source, public std::enable_shared_from_this<StreamRelay> {
 public:
  StreamRelay(Place& place, Fd listener, const SocketAddress& to)
      : place(place), listener_(std::move(listener)), to_(to) {}

  void start() override { Supervisor::traffic().add(listener_.get(), EPOLLIN | EPOLLET, this); }
  void stop() override;
  void ready(uint32_t) override;
  void forget(Connection* connection) { connections_.erase(connection); }

  Place& place;

 private:
  void wait();

  Fd listener_;
  SocketAddress to_;
  bool waiting_ = false;
  std::set<Connection*> connections_;
};

// One direction: what was read from a socket waits in a pipe for the other.
struct Flow {
  int from = -1, to = -1;
  Fd in, out;
  size_t waiting = 0;
  bool ended = false, told = false;

  bool open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return false;
    out.reset(ends[0]);
    in.reset(ends[1]);
    fcntl(in.get(), F_SETPIPE_SZ, PIPE);
    return true;
  }

  // false: the connection is broken. `left` is what it may still move.
  bool move(size_t* left) {
    for (bool moved = true; moved && *left > 0;) {
      moved = false;
      if (!ended) {
        ssize_t n = splice(from, nullptr, in.get(), nullptr, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n > 0) {
          waiting += static_cast<size_t>(n);
          moved = true;
        } else if (n == 0) {
          ended = true;
        } else if (errno != EAGAIN && errno != EINTR) {
          return false;
        }
      }
      if (waiting > 0) {
        ssize_t n = splice(out.get(), nullptr, to, nullptr, waiting, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n > 0) {
          waiting -= static_cast<size_t>(n);
          *left -= std::min(*left, static_cast<size_t>(n));
          moved = true;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
          return false;
        }
      }
    }
    if (ended && waiting == 0 && !told) {
      told = true;
      shutdown(to, SHUT_WR);
    }
    return true;
  }
};

class Connection final : public Supervisor::Source {
 public:
  static Connection* open(StreamRelay* relay, Fd client, const SocketAddress& to) {
    auto server = relay->place.socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK);
    if (!server) return nullptr;
    auto* made = new Connection(relay, std::move(client), std::move(*server));
    int on = 1;
    for (const Fd* fd : {&made->client_, &made->server_}) setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool begun = connect(made->server_.get(), to.get(), to.size) == 0 || errno == EINPROGRESS;
    if (!begun || !made->there_.open() || !made->back_.open() || !made->watch()) {
      made->close();
      return nullptr;
    }
    return made;
  }

  void ready(uint32_t) override {
    if (!connected_) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(server_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return close();
      SocketAddress peer;
      if (getpeername(server_.get(), peer.get(), &peer.size) < 0) return;  // only the client has said something yet
      connected_ = true;
    }
    size_t left = TURN;
    if (!there_.move(&left) || !back_.move(&left) || (there_.told && back_.told)) return close();
    if (left > 0 || again_) return;
    again_ = true;
    // Events come once; the rest of this one waits its turn. It may be closed until then.
    Supervisor::traffic().post([alive = std::weak_ptr(alive_), this] {
      if (alive.expired()) return;
      again_ = false;
      ready(0);
    });
  }

  // Who waits on the other side learns that it is not there by a reset, as from the program itself.
  void close() {
    linger reset = {1, 0};
    if (!(there_.told && back_.told)) setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (watched_)
      for (Fd* fd : {&client_, &server_}) Supervisor::traffic().remove(fd->get(), this);
    relay_->forget(this);
    delete this;
  }

 private:
  Connection(StreamRelay* relay, Fd client, Fd server)
      : relay_(relay), client_(std::move(client)), server_(std::move(server)) {
    connections_open++;
    there_.from = back_.to = client_.get();
    there_.to = back_.from = server_.get();
  }

  ~Connection() { connections_open--; }

  bool watch() {
    watched_ = true;
    for (Fd* fd : {&client_, &server_})
      if (!Supervisor::traffic().add(fd->get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this)) return false;
    return true;
  }

  StreamRelay* relay_;
  Fd client_, server_;
  Flow there_, back_;
  bool connected_ = false, watched_ = false, again_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void StreamRelay::ready(uint32_t) {
  while (listener_) {
    if (connections_open >= most_connections()) return wait();
    Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno == EAGAIN) return;
      return wait();  // out of descriptors or memory
    }
    if (auto* connection = Connection::open(this, std::move(client), to_)) connections_.insert(connection);
  }
}

// The clients wait in the queue.
void StreamRelay::wait() {
  if (std::exchange(waiting_, true)) return;
  Supervisor::traffic().at(Supervisor::Clock::now() + OUT_OF_DESCRIPTORS, [self = shared_from_this()] {
    self->waiting_ = false;
    self->ready(0);
  });
}

void StreamRelay::stop() {
  if (!listener_) return;
  Supervisor::traffic().remove(listener_.get(), this);
  listener_.reset();
  while (!connections_.empty()) (*connections_.begin())->close();
}

}  // namespace

std::shared_ptr<Publication> relay_streams(Place& place, Fd listener, const SocketAddress& to) {
  return std::make_shared<StreamRelay>(place, std::move(listener), to);
}

}  // namespace caisson
