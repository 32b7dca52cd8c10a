// UDP: each client gets a socket of its own towards the container, so that answers find back; those that are idle go.
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "core/network/publisher.h"

namespace caisson {

namespace {

constexpr size_t DATAGRAM = 64 << 10, CLIENTS_MAX = 4096;
constexpr int TURN = 256;
// As connection tracking keeps an answered stream of datagrams (nf_conntrack_udp_timeout_stream).
constexpr auto IDLE = std::chrono::seconds(120), SWEEP = std::chrono::seconds(10);

// Each has a descriptor, of which this process needs others.
size_t most_clients() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1;
  return std::clamp<size_t>(limit.rlim_cur / 8, 1, CLIENTS_MAX);
}

// The address of ours that a client wrote to: its answer comes from there.
using Control = std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))>;

msghdr message_of(SocketAddress* address, iovec* vector, void* control, size_t control_size) {
  msghdr message = {};
  message.msg_name = &address->storage;
  message.msg_namelen = address->size;
  message.msg_iov = vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = control_size;
  return message;
}

class DatagramRelay;

class Client final : public Supervisor::Source {
 public:
  Client(DatagramRelay* relay, Fd fd, const SocketAddress& address) : fd(std::move(fd)), address(address), relay_(relay) {}
  void ready(uint32_t) override;

  Fd fd;
  SocketAddress address;
  Control control{};
  size_t control_size = 0;
  Supervisor::Clock::time_point last;

 private:
  DatagramRelay* relay_;
};

class DatagramRelay final : public Publication,
                            public Supervisor::Source,
                            public std::enable_shared_from_this<DatagramRelay> {
 public:
  DatagramRelay(Place& place, Fd socket, const SocketAddress& to) : place_(place), socket_(std::move(socket)), to_(to) {}

  void start() override {
    Supervisor::traffic().add(socket_.get(), EPOLLIN, this);
    sweep();
  }

  void stop() override {
    if (!socket_) return;
    Supervisor::traffic().remove(socket_.get(), this);
    socket_.reset();
    while (!clients_.empty()) drop(clients_.begin());
  }

  void ready(uint32_t) override {
    for (int i = 0; i < TURN; i++) {
      SocketAddress from;
      Control control;
      iovec vector = {buffer_, sizeof buffer_};
      msghdr message = message_of(&from, &vector, control.data(), control.size());
      ssize_t n = recvmsg(socket_.get(), &message, MSG_DONTWAIT);
      if (n < 0) return;
      from.size = message.msg_namelen;
      Client* client = find(from);
      if (!client) continue;
      client->control_size = answer_from(message, &client->control);
      client->last = Supervisor::Clock::now();
      (void)!send(client->fd.get(), buffer_, static_cast<size_t>(n), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }

  void answer(Client* client) {
    for (int i = 0; i < TURN; i++) {
      ssize_t n = recv(client->fd.get(), buffer_, sizeof buffer_, MSG_DONTWAIT);
      if (n < 0 && errno == ECONNREFUSED) continue;  // nobody listens in the container; it may later
      if (n < 0) return;
      client->last = Supervisor::Clock::now();
      iovec vector = {buffer_, static_cast<size_t>(n)};
      msghdr message = message_of(&client->address, &vector, client->control.data(), client->control_size);
      (void)!sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }

 private:
  using Clients = std::map<std::string, std::unique_ptr<Client>>;

  Client* find(const SocketAddress& from) {
    std::string key = from.key();
    if (auto found = clients_.find(key); found != clients_.end()) return found->second.get();
    if (clients_.size() >= most_clients()) drop_oldest();
    auto fd = place_.socket(to_.family(), SOCK_DGRAM | SOCK_NONBLOCK);
    if (!fd || connect(fd->get(), to_.get(), to_.size) < 0) return nullptr;
    auto client = std::make_unique<Client>(this, std::move(*fd), from);
    if (!Supervisor::traffic().add(client->fd.get(), EPOLLIN, client.get())) return nullptr;
    return (clients_[key] = std::move(client)).get();
  }

  static size_t fill(cmsghdr* head, int level, int type, const void* data, size_t size) {
    head->cmsg_len = CMSG_LEN(size);
    head->cmsg_level = level;
    head->cmsg_type = type;
    memcpy(CMSG_DATA(head), data, size);
    return CMSG_SPACE(size);
  }

  static size_t answer_from(const msghdr& received, Control* control) {
    memset(control->data(), 0, control->size());
    auto* made = reinterpret_cast<cmsghdr*>(control->data());
    for (auto* head = CMSG_FIRSTHDR(&received); head; head = CMSG_NXTHDR(const_cast<msghdr*>(&received), head)) {
      if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
        in_pktinfo info;
        memcpy(&info, CMSG_DATA(head), sizeof info);
        info.ipi_spec_dst = info.ipi_addr;
        info.ipi_ifindex = 0;
        return fill(made, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
      }
      if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
        return fill(made, IPPROTO_IPV6, IPV6_PKTINFO, CMSG_DATA(head), sizeof(in6_pktinfo));
      }
    }
    return 0;
  }

  void drop(Clients::iterator at) {
    Supervisor::traffic().remove(at->second->fd.get(), at->second.get());
    clients_.erase(at);
  }

  void drop_oldest() {
    auto oldest = clients_.begin();
    for (auto at = clients_.begin(); at != clients_.end(); ++at)
      if (at->second->last < oldest->second->last) oldest = at;
    drop(oldest);
  }

  void sweep() {
    if (!socket_) return;
    auto now = Supervisor::Clock::now();
    for (auto at = clients_.begin(); at != clients_.end();) {
      auto next = std::next(at);
      if (now - at->second->last > IDLE) drop(at);
      at = next;
    }
    Supervisor::traffic().at(now + SWEEP, [self = weak_from_this()] {
      if (auto alive = self.lock()) alive->sweep();
    });
  }

  Place& place_;
  Fd socket_;
  SocketAddress to_;
  Clients clients_;
  char buffer_[DATAGRAM];
};

void Client::ready(uint32_t) { relay_->answer(this); }

}  // namespace

std::shared_ptr<Publication> relay_datagrams(Place& place, Fd socket, const SocketAddress& to) {
  return std::make_shared<DatagramRelay>(place, std::move(socket), to);
}

}  // namespace caisson
