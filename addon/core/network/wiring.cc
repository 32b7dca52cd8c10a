#include "core/network/wiring.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "core/network/endpoint_socket.h"
#include "core/network/firewall.h"
#include "core/network/firewall_rules.h"

namespace caisson {

namespace {

constexpr char RESOLVER[] = "127.0.0.11";
constexpr int NAME_PORT = 53, BACKLOG = 128;

FirewallChange rules_of(const std::vector<Wire>& wires) {
  FirewallChange change;
  for (const Wire& wire : wires) change.ports.push_back({wire.pair.name, wire.pair.mac, wire.pair.bridge, wire.addresses});
  return change;
}

Result<Fd> name_socket(Sockets& there, int type) {
  auto fd = there.socket(AF_INET, type | SOCK_NONBLOCK);
  if (!fd) return fd;
  SocketAddress address(parse_address(RESOLVER), 0);
  if (bind(fd->get(), address.get(), address.size) < 0) return failed("network: resolver", "bind", RESOLVER);
  if (type == SOCK_STREAM && listen(fd->get(), BACKLOG) < 0) return failed("network: resolver", "listen");
  return fd;
}

}  // namespace

Result<> wire(Place& place, int netns, const std::vector<Wire>& wires, ResolverSockets* sockets) {
  std::optional<Netlink> inside;
  auto visited = place.visit(netns, [&](Sockets& there) -> Result<> {
    // Nobody on the network can tell a container what its router is. Without IPv6 there is no such file.
    (void)!!there.setting("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
    (void)!!there.setting("/proc/sys/net/ipv6/conf/all/accept_ra", "0");
    auto opened = there.netlink(NETLINK_ROUTE);
    if (!opened) return opened.failure();
    inside = std::move(*opened);
    if (auto up = set_loopback_up(*inside); !up) return up;
    if (!sockets) return Nothing{};
    auto udp = name_socket(there, SOCK_DGRAM), tcp = name_socket(there, SOCK_STREAM);
    if (!udp) return udp.failure();
    if (!tcp) return tcp.failure();
    *sockets = {std::move(*udp), std::move(*tcp)};
    auto rules = there.netlink(NETLINK_NETFILTER);
    if (!rules) return rules.failure();
    Batch batch;
    write_resolver_table(batch, parse_address(RESOLVER), NAME_PORT, bound_port(sockets->udp), bound_port(sockets->tcp));
    return rules->talk(batch.finish(), "firewall: resolver");
  });
  if (!visited) return visited;

  FirewallChange rules = rules_of(wires);
  if (auto added = place.firewall().add(rules); !added) return added;
  auto fail = [&](Failure& failure) -> Result<> {
    std::vector<std::string> names;
    for (const Wire& each : wires) names.push_back(each.pair.name);
    (void)!!unwire(place, names);
    (void)!!place.firewall().remove(rules);
    return failure;
  };
  auto outside = place.netlink(NETLINK_ROUTE);
  if (!outside) return fail(outside.failure());
  for (const Wire& each : wires) {
    if (auto made = make_pair(*outside, each.pair, netns); !made) return fail(made.failure());
    if (auto told = tell_bridge(*outside, each.pair); !told) return fail(told.failure());
    if (auto set = set_up_inside(*inside, each.pair.inside, each.addresses, each.gateways); !set)
      return fail(set.failure());
    for (const std::string& device : {each.pair.name, each.pair.bridge}) await_carrier(*outside, device);
  }
  return Nothing{};
}

Result<> unwire(Place& place, const std::vector<std::string>& names) {
  auto socket = place.netlink(NETLINK_ROUTE);
  if (!socket) return socket.failure();
  for (const std::string& name : names)
    if (auto removed = remove_link(*socket, name); !removed) return removed;
  return Nothing{};
}

}  // namespace caisson
