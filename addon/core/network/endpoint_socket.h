// Socket addresses of both families.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/fd.h"
#include "core/network/link.h"
#include "core/result.h"

namespace caisson {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  SocketAddress() = default;
  SocketAddress(const Address& address, uint16_t port);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  uint16_t port() const;
  // Equal for equal addresses.
  std::string key() const;
};

// A socket that does not block, bound to a port of the host (0: any), and for TCP listening.
Result<Fd> bind_port(const SocketAddress& address, int type);
uint16_t bound_port(const Fd& fd);

}  // namespace caisson
