#include "core/network/wiring.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/network/firewall.h"
#include "core/network/visitor.h"
#include "core/sys.h"

namespace caisson {

namespace {

constexpr int NAME_PORT = 53, BACKLOG = 128;

FirewallChange rules_of(const std::vector<Wire>& wires) {
  FirewallChange change;
  for (const Wire& wire : wires) change.ports.push_back({wire.pair.name, wire.pair.mac, wire.pair.bridge, wire.addresses});
  return change;
}

Result<Fd> name_socket(int type) {
  Fd fd(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed("network: resolver", "socket");
  int on = 1;
  // A name server of the container's own may have the port on its other addresses.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(NAME_PORT);
  address.sin_addr.s_addr = htonl(0x7f00000b);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return failed("network: resolver", "bind", "127.0.0.11:53");
  if (type == SOCK_STREAM && listen(fd.get(), BACKLOG) < 0) return failed("network: resolver", "listen");
  return fd;
}

}  // namespace

Result<> wire(int netns, const std::vector<Wire>& wires, ResolverSockets* sockets) {
  std::optional<Netlink> inside;
  auto visited = visit(netns, [&]() -> Result<> {
    // Nobody on the network can tell a container what its router is. Without IPv6 there is no such file.
    (void)sys::write_file("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
    (void)sys::write_file("/proc/sys/net/ipv6/conf/all/accept_ra", "0");
    auto opened = Netlink::open(NETLINK_ROUTE);
    if (!opened) return opened.failure();
    inside = std::move(*opened);
    if (auto up = set_loopback_up(*inside); !up) return up;
    if (!sockets) return Nothing{};
    auto udp = name_socket(SOCK_DGRAM), tcp = name_socket(SOCK_STREAM);
    if (!udp) return udp.failure();
    if (!tcp) return tcp.failure();
    *sockets = {std::move(*udp), std::move(*tcp)};
    return Nothing{};
  });
  if (!visited) return visited;

  FirewallChange rules = rules_of(wires);
  if (auto added = Firewall::shared().add(rules); !added) return added;
  auto fail = [&](Failure& failure) -> Result<> {
    std::vector<std::string> names;
    for (const Wire& each : wires) names.push_back(each.pair.name);
    (void)!!unwire(names);
    (void)!!Firewall::shared().remove(rules);
    return failure;
  };
  auto outside = Netlink::open(NETLINK_ROUTE);
  if (!outside) return fail(outside.failure());
  for (const Wire& each : wires) {
    if (auto made = make_pair(*outside, each.pair, netns); !made) return fail(made.failure());
    if (auto set = set_up_inside(*inside, each.pair.inside, each.addresses, each.gateways); !set)
      return fail(set.failure());
  }
  return Nothing{};
}

Result<> unwire(const std::vector<std::string>& names) {
  auto socket = Netlink::open(NETLINK_ROUTE);
  if (!socket) return socket.failure();
  for (const std::string& name : names)
    if (auto removed = remove_link(*socket, name); !removed) return removed;
  return Nothing{};
}

}  // namespace caisson
