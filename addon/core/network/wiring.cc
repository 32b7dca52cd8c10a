#include "core/network/wiring.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "core/network/endpoint_socket.h"
#include "core/network/firewall.h"
#include "core/network/firewall_rules.h"
#include "core/network/visitor.h"
#include "core/sys.h"

namespace caisson {

namespace {

constexpr char RESOLVER[] = "127.0.0.11";
constexpr int NAME_PORT = 53, BACKLOG = 128;

FirewallChange rules_of(const std::vector<Wire>& wires) {
  FirewallChange change;
  for (const Wire& wire : wires) change.ports.push_back({wire.pair.name, wire.pair.mac, wire.pair.bridge, wire.addresses});
  return change;
}

Result<Fd> name_socket(int type) {
  Fd fd(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed("network: resolver", "socket");
  SocketAddress address(parse_address(RESOLVER), 0);
  if (bind(fd.get(), address.get(), address.size) < 0) return failed("network: resolver", "bind", RESOLVER);
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
    auto rules = Netlink::open(NETLINK_NETFILTER);
    if (!rules) return rules.failure();
    Batch batch;
    write_resolver_table(batch, parse_address(RESOLVER), NAME_PORT, bound_port(sockets->udp), bound_port(sockets->tcp));
    return rules->talk(batch.finish(), "firewall: resolver");
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
