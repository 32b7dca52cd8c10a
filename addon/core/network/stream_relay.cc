// TCP connections to a published port: each is a passage of its own.
#include <sys/epoll.h>

#include <set>
#include <utility>

#include "core/network/passage.h"
#include "core/network/publisher.h"

namespace caisson {

namespace {

constexpr auto OUT_OF_DESCRIPTORS = std::chrono::milliseconds(50);

class StreamRelay final : public Publication, public Supervisor::Source, public std::enable_shared_from_this<StreamRelay> {
 public:
  StreamRelay(Place& place, Fd listener, const SocketAddress& to)
      : place_(place), listener_(std::move(listener)), to_(to) {}

  void start() override { Supervisor::traffic().add(listener_.get(), EPOLLIN | EPOLLET, this); }
  void stop() override;
  void ready(uint32_t) override;

 private:
  void wait();
  void open(Fd client);

  Place& place_;
  Fd listener_;
  SocketAddress to_;
  bool waiting_ = false;
  std::set<std::shared_ptr<Passage>> passages_;
};

void StreamRelay::ready(uint32_t) {
  while (listener_) {
    if (!Passage::room()) return wait();
    Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno == EAGAIN) return;
      return wait();  // out of descriptors or memory
    }
    open(std::move(client));
  }
}

void StreamRelay::open(Fd client) {
  auto server = place_.socket(to_.family(), SOCK_STREAM | SOCK_NONBLOCK);
  if (!server || (connect(server->get(), to_.get(), to_.size) < 0 && errno != EINPROGRESS)) return break_off(client);
  auto passage = Passage::make(std::move(client), std::move(*server));
  if (!passage) return;
  passages_.insert(passage);
  passage->start([self = shared_from_this(), passage = std::weak_ptr(passage)] { self->passages_.erase(passage.lock()); });
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
  while (!passages_.empty()) std::shared_ptr(*passages_.begin())->close();
}

}  // namespace

std::shared_ptr<Publication> relay_streams(Place& place, Fd listener, const SocketAddress& to) {
  return std::make_shared<StreamRelay>(place, std::move(listener), to);
}

}  // namespace caisson
