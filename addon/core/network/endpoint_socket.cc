#include "core/network/endpoint_socket.h"

#include <arpa/inet.h>

#include <cstring>

namespace caisson {

namespace {

constexpr int BACKLOG = 4096;

std::string shown(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const void* bytes = address.family() == AF_INET6
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr)
                          : &reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr;
  inet_ntop(address.family(), bytes, text, sizeof text);
  return std::string(text) + " port " + std::to_string(address.port());
}

}  // namespace

SocketAddress::SocketAddress(const Address& address, uint16_t port) {
  if (address.family == AF_INET6) {
    auto* in = reinterpret_cast<sockaddr_in6*>(&storage);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    memcpy(&in->sin6_addr, address.bytes.data(), 16);
    size = sizeof *in;
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, address.bytes.data(), 4);
    size = sizeof *in;
  }
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

std::string SocketAddress::key() const {
  if (family() == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(&storage);
    return std::string(reinterpret_cast<const char*>(&in->sin6_addr), 16) +
           std::string(reinterpret_cast<const char*>(&in->sin6_port), 2) +
           std::string(reinterpret_cast<const char*>(&in->sin6_scope_id), 4);
  }
  const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
  return std::string(reinterpret_cast<const char*>(&in->sin_addr), 4) +
         std::string(reinterpret_cast<const char*>(&in->sin_port), 2);
}

Result<Fd> bind_port(const SocketAddress& address, int type) {
  Fd fd(socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed("ports", "socket");
  int on = 1;
  if (address.family() == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  } else {
    setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  }
  // Connections of the last holder that linger do not matter; of UDP it would let two have the port.
  if (type == SOCK_STREAM) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), address.get(), address.size) < 0) return failed("ports", "bind", shown(address));
  if (type == SOCK_STREAM && listen(fd.get(), BACKLOG) < 0) return failed("ports", "listen", shown(address));
  return fd;
}

uint16_t bound_port(const Fd& fd) {
  SocketAddress address;
  getsockname(fd.get(), address.get(), &address.size);
  return address.port();
}

}  // namespace caisson
