#include "core/network/publisher.h"

namespace caisson {

namespace {

// Tries for one number that is free on every address.
constexpr int ATTEMPTS = 64;

// One port on several addresses.
class Group final : public Publication {
 public:
  explicit Group(std::vector<std::shared_ptr<Publication>> members) : members_(std::move(members)) {}
  void start() override {
    for (auto& member : members_) member->start();
  }
  void stop() override {
    for (auto& member : members_) member->stop();
  }

 private:
  std::vector<std::shared_ptr<Publication>> members_;
};

Result<std::vector<Fd>> bind_all(const Publishing& publishing) {
  std::vector<Fd> sockets;
  uint16_t port = publishing.port;
  for (const Address& address : publishing.addresses) {
    auto bound = bind_port(SocketAddress(address, port), publishing.type);
    if (!bound) return bound.failure();
    if (port == 0) port = bound_port(*bound);
    sockets.push_back(std::move(*bound));
  }
  return sockets;
}

}  // namespace

void Publication::end(std::shared_ptr<Publication> publication) {
  Supervisor::traffic().post([publication] { publication->stop(); });
}

Result<std::shared_ptr<Publication>> publish(Place& place, const Publishing& publishing) {
  auto sockets = bind_all(publishing);
  for (int attempt = 1; !sockets && publishing.port == 0 && attempt < ATTEMPTS; attempt++) sockets = bind_all(publishing);
  if (!sockets) return sockets.failure();
  std::vector<std::shared_ptr<Publication>> members;
  uint16_t port = sockets->empty() ? 0 : bound_port(sockets->front());
  SocketAddress to(publishing.to, publishing.to_port);
  for (Fd& socket : *sockets)
    members.push_back(publishing.type == SOCK_STREAM ? relay_streams(place, std::move(socket), to)
                                                     : relay_datagrams(place, std::move(socket), to));
  std::shared_ptr<Publication> group = std::make_shared<Group>(std::move(members));
  group->port = port;
  Supervisor::traffic().post([group] { group->start(); });
  return group;
}

}  // namespace caisson
