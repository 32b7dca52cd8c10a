// Published ports: sockets on the host that hold the port and pass on what comes. Where the firewall translates
// (firewall.h), most packets never reach them; connections from the host's own loopback, and between the two versions of
// IP, do.
#pragma once

#include <memory>
#include <vector>

#include "core/fd.h"
#include "core/network/endpoint_socket.h"
#include "core/network/place.h"
#include "core/result.h"
#include "core/supervisor.h"

namespace caisson {

struct Publishing {
  int type = SOCK_STREAM;  // or SOCK_DGRAM
  std::vector<Address> addresses;
  uint16_t port = 0;  // 0: one that is free on all the addresses
  Address to;
  uint16_t to_port = 0;
};

class Publication {
 public:
  virtual ~Publication() = default;
  // Ends it, with all connections that pass through it. On any thread.
  static void end(std::shared_ptr<Publication> publication);
  // On the thread of the traffic.
  virtual void start() = 0;
  virtual void stop() = 0;

  uint16_t port = 0;
};

// `place`: where the container can be reached.
Result<std::shared_ptr<Publication>> publish(Place& place, const Publishing& publishing);

// Of one listening socket; see stream_relay.cc and datagram_relay.cc.
std::shared_ptr<Publication> relay_streams(Place& place, Fd listener, const SocketAddress& to);
std::shared_ptr<Publication> relay_datagrams(Place& place, Fd socket, const SocketAddress& to);

}  // namespace caisson
