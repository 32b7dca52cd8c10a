#include "core/network/link.h"

#include <arpa/inet.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>

namespace caisson {

namespace {

constexpr char STAGE[] = "network";
// IF_OPER_UP of linux/if.h, which does not go together with net/if.h.
constexpr uint8_t OPERATING = 6;
// The kernel passes TCP on in pieces of up to this many bytes, instead of 64 kB: a stream between containers costs much
// less. It cuts them for a device that cannot take them; before Linux 6.3 it does not know these attributes.
constexpr uint32_t BIG_TCP_SIZE = 8 * 65535;
constexpr int GSO_IPV4_MAX_SIZE = 63, GRO_IPV4_MAX_SIZE = 64;  // IFLA_* of newer headers
constexpr std::chrono::microseconds CARRIER_PATIENCE(200'000), CARRIER_INTERVAL(500);

ifinfomsg up(int index = 0) {
  ifinfomsg info = {};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = index;
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  return info;
}

void put_mac(Messages& messages, const std::string& text) {
  if (text.empty()) return;
  auto mac = parse_mac(text);
  messages.put(IFLA_ADDRESS, mac.data(), mac.size());
}

void put_big_tcp(Messages& messages) {
  messages.put32(GSO_IPV4_MAX_SIZE, BIG_TCP_SIZE);
  messages.put32(GRO_IPV4_MAX_SIZE, BIG_TCP_SIZE);
}

// No address by itself, neither link-local nor by advertisements: only what it is given.
void put_no_autoconf(Messages& messages) {
  size_t families = messages.open(IFLA_AF_SPEC);
  size_t family = messages.open(AF_INET6);
  messages.put8(IFLA_INET6_ADDR_GEN_MODE, 1 /* IN6_ADDR_GEN_MODE_NONE */);
  messages.close(family);
  messages.close(families);
}

void add_default_route(Messages& messages, int index, const Address& gateway, const std::string& name) {
  rtmsg info = {};
  info.rtm_family = static_cast<uint8_t>(gateway.family);
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_scope = RT_SCOPE_UNIVERSE;
  info.rtm_type = RTN_UNICAST;
  messages.begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, info, "route through " + name);
  messages.put(RTA_GATEWAY, gateway.view());
  messages.put32(RTA_OIF, static_cast<uint32_t>(index));
  messages.end();
}

void set_device(Messages& messages, int index, const std::string& name) {
  messages.begin(RTM_SETLINK, NLM_F_ACK, up(index), name);
  put_no_autoconf(messages);
  messages.end();
}

}  // namespace

void add_address(Messages& messages, int index, const Address& address, const std::string& name) {
  ifaddrmsg info = {};
  info.ifa_family = static_cast<uint8_t>(address.family);
  info.ifa_prefixlen = address.prefix;
  info.ifa_index = static_cast<uint32_t>(index);
  // Nobody else can have it, so nobody needs to be asked, which takes a second (RFC 4862, 5.4).
  if (address.family == AF_INET6) info.ifa_flags = IFA_F_NODAD;
  messages.begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, info, "address of " + name);
  messages.put(IFA_LOCAL, address.view());
  messages.put(IFA_ADDRESS, address.view());
  messages.end();
}

size_t Address::size() const { return family == AF_INET ? 4 : 16; }

Address parse_address(const std::string& text) {
  Address address;
  size_t slash = text.find('/');
  std::string host = text.substr(0, slash);
  address.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(address.family, host.c_str(), address.bytes.data()) != 1) return {};
  size_t bits = address.size() * 8;
  address.prefix = static_cast<uint8_t>(slash == std::string::npos ? bits : strtoul(text.c_str() + slash + 1, nullptr, 10));
  if (address.prefix > bits) return {};
  return address;
}

std::array<uint8_t, 6> parse_mac(const std::string& text) {
  std::array<uint8_t, 6> mac{};
  (void)sscanf(text.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]);
  return mac;
}

Result<int> link_index(Netlink& socket, const std::string& name) {
  Messages request;
  request.begin(RTM_GETLINK, 0, ifinfomsg{}, name);
  request.text(IFLA_IFNAME, name);
  request.end();
  int index = 0;
  auto asked = socket.ask(request, STAGE, [&](const nlmsghdr* head) {
    if (head->nlmsg_type == RTM_NEWLINK) index = static_cast<const ifinfomsg*>(NLMSG_DATA(head))->ifi_index;
  });
  if (!asked && asked.failure().error != ENODEV) return asked.failure();
  return index;
}

Result<> make_bridge(Netlink& socket, const Bridge& bridge) {
  Messages making;
  making.begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{}, "bridge " + bridge.name);
  making.text(IFLA_IFNAME, bridge.name);
  put_mac(making, bridge.mac);
  if (bridge.mtu) making.put32(IFLA_MTU, bridge.mtu);
  size_t info = making.open(IFLA_LINKINFO);
  making.text(IFLA_INFO_KIND, "bridge");
  size_t data = making.open(IFLA_INFO_DATA);
  // Ports forward from the first moment, and nobody is to be found by group messages that get lost.
  making.put32(IFLA_BR_FORWARD_DELAY, 0);
  making.put8(IFLA_BR_MCAST_SNOOPING, 0);
  // Frames for bridges themselves (01:80:c2:00:00:0x) pass by the rules that look at senders, and would be learned from.
  constexpr uint32_t NO_LINK_LOCAL_LEARNING = 1 << BR_BOOLOPT_NO_LL_LEARN;
  const br_boolopt_multi options = {NO_LINK_LOCAL_LEARNING, NO_LINK_LOCAL_LEARNING};
  making.put(IFLA_BR_MULTI_BOOLOPT, &options, sizeof options);
  making.close(data);
  making.close(info);
  making.end();
  if (auto made = socket.talk(making, STAGE); !made && made.failure().error != EEXIST) return made.failure();
  auto index = link_index(socket, bridge.name);
  if (!index) return index.failure();
  if (*index == 0) return failed(STAGE, "netlink", "bridge " + bridge.name, ENODEV);
  Messages rest;
  set_device(rest, *index, bridge.name);
  for (const Address& address : bridge.addresses) add_address(rest, *index, address, bridge.name);
  return socket.talk(rest, STAGE);
}

Result<> remove_link(Netlink& socket, const std::string& name) {
  Messages messages;
  messages.begin(RTM_DELLINK, NLM_F_ACK, ifinfomsg{}, name);
  messages.text(IFLA_IFNAME, name);
  messages.end();
  auto done = socket.talk(messages, STAGE);
  if (!done && done.failure().error == ENODEV) return Nothing{};
  return done;
}

Result<> make_pair(Netlink& socket, const Pair& pair, int netns) {
  auto bridge = link_index(socket, pair.bridge);
  if (!bridge) return bridge.failure();
  if (*bridge == 0) return failed(STAGE, "netlink", "bridge " + pair.bridge, ENODEV);
  Messages messages;
  messages.begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, up(), "veth " + pair.name);
  messages.text(IFLA_IFNAME, pair.name);
  put_mac(messages, pair.port_mac);
  if (pair.mtu) messages.put32(IFLA_MTU, pair.mtu);
  if (pair.big_tcp) put_big_tcp(messages);
  messages.put32(IFLA_MASTER, static_cast<uint32_t>(*bridge));
  size_t info = messages.open(IFLA_LINKINFO);
  messages.text(IFLA_INFO_KIND, "veth");
  size_t data = messages.open(IFLA_INFO_DATA);
  size_t peer = messages.open(VETH_INFO_PEER);
  // It is brought up inside, when it has been told to take no address by itself.
  ifinfomsg other = {};
  messages.raw(&other, sizeof other);
  messages.text(IFLA_IFNAME, pair.inside);
  put_mac(messages, pair.mac);
  if (pair.mtu) messages.put32(IFLA_MTU, pair.mtu);
  if (pair.big_tcp) put_big_tcp(messages);
  messages.put32(IFLA_NET_NS_FD, static_cast<uint32_t>(netns));
  messages.close(peer);
  messages.close(data);
  messages.close(info);
  messages.end();
  // A container reaches its own published port by a frame that leaves where it came from. Which address is behind a port
  // is known (see tell_bridge): nothing is learned, and what is for nobody who is here comes to nobody.
  messages.begin(RTM_NEWLINK, NLM_F_ACK, ifinfomsg{}, "port " + pair.name);
  messages.text(IFLA_IFNAME, pair.name);
  info = messages.open(IFLA_LINKINFO);
  messages.text(IFLA_INFO_SLAVE_KIND, "bridge");
  data = messages.open(IFLA_INFO_SLAVE_DATA);
  messages.put8(IFLA_BRPORT_MODE, 1);
  messages.put8(IFLA_BRPORT_LEARNING, 0);
  messages.put8(IFLA_BRPORT_UNICAST_FLOOD, 0);
  messages.close(data);
  messages.close(info);
  messages.end();
  auto made = socket.talk(messages, STAGE);
  if (!made || !pair.big_tcp) return made;
  // For what the host itself sends: a bridge takes what its ports do. Where it does not, the pieces are as they were.
  Messages further;
  further.begin(RTM_NEWLINK, NLM_F_ACK, ifinfomsg{}, "bridge " + pair.bridge);
  further.text(IFLA_IFNAME, pair.bridge);
  put_big_tcp(further);
  further.end();
  (void)socket.talk(further, STAGE);
  return Nothing{};
}

Result<> tell_bridge(Netlink& socket, const Pair& pair) {
  auto index = link_index(socket, pair.name);
  if (!index) return index.failure();
  if (*index == 0) return failed(STAGE, "netlink", pair.name, ENODEV);
  Messages messages;
  ndmsg info = {};
  info.ndm_family = AF_BRIDGE;
  info.ndm_ifindex = *index;
  info.ndm_state = NUD_NOARP;  // as bridge(8) says "static": it does not age
  info.ndm_flags = NTF_MASTER;
  messages.begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, info, "address behind " + pair.name);
  const auto mac = parse_mac(pair.mac);
  messages.put(NDA_LLADDR, mac.data(), mac.size());
  messages.end();
  return socket.talk(messages, STAGE);
}

Result<> set_loopback_up(Netlink& socket) {
  Messages messages;
  messages.begin(RTM_SETLINK, NLM_F_ACK, up(1), "lo");
  messages.end();
  return socket.talk(messages, STAGE);
}

Result<> set_up_inside(Netlink& socket, const std::string& name, const std::vector<Address>& addresses,
                       const std::vector<Address>& gateways) {
  auto index = link_index(socket, name);
  if (!index) return index.failure();
  if (*index == 0) return failed(STAGE, "netlink", name, ENODEV);
  Messages messages;
  set_device(messages, *index, name);
  for (const Address& address : addresses) add_address(messages, *index, address, name);
  for (const Address& gateway : gateways) add_default_route(messages, *index, gateway, name);
  return socket.talk(messages, STAGE);
}

void await_carrier(Netlink& socket, const std::string& name) {
  uint8_t state = OPERATING;
  Messages request;
  request.begin(RTM_GETLINK, 0, ifinfomsg{}, name);
  request.text(IFLA_IFNAME, name);
  request.end();
  auto until = std::chrono::steady_clock::now() + CARRIER_PATIENCE;
  for (;;) {
    auto asked = socket.ask(request, STAGE, [&](const nlmsghdr* head) {
      if (head->nlmsg_type != RTM_NEWLINK) return;
      const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(head));
      each_attribute(IFLA_RTA(info), head->nlmsg_len - NLMSG_LENGTH(sizeof *info),
                     [&](const nlattr* attribute, std::string_view value) {
                       if (attribute->nla_type == IFLA_OPERSTATE) state = static_cast<uint8_t>(value[0]);
                     });
    });
    if (!asked || state == OPERATING || std::chrono::steady_clock::now() > until) return;
    std::this_thread::sleep_for(CARRIER_INTERVAL);
  }
}

namespace {

std::string address_text(int family, std::string_view bytes, unsigned prefix) {
  char text[INET6_ADDRSTRLEN] = "";
  uint8_t whole[16] = {};
  memcpy(whole, bytes.data(), std::min(bytes.size(), sizeof whole));
  inet_ntop(family, whole, text, sizeof text);
  return std::string(text) + "/" + std::to_string(prefix);
}

std::string device_name(std::string_view value) {
  int index = 0;
  memcpy(&index, value.data(), std::min(value.size(), sizeof index));
  char name[IF_NAMESIZE] = "";
  return if_indextoname(static_cast<unsigned>(index), name) ? name : "";
}

struct Route {
  int family;
  unsigned prefix;
  std::string destination, device;
};

Result<> each_route(Netlink& socket, const std::function<void(const Route&)>& each) {
  Messages request;
  rtmsg info = {};
  info.rtm_family = AF_UNSPEC;
  request.begin(RTM_GETROUTE, NLM_F_DUMP, info, "routes");
  request.end();
  return socket.ask(request, STAGE, [&](const nlmsghdr* head) {
    if (head->nlmsg_type != RTM_NEWROUTE) return;
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(head));
    if (route->rtm_type != RTN_UNICAST || (route->rtm_family != AF_INET && route->rtm_family != AF_INET6)) return;
    Route found = {route->rtm_family, route->rtm_dst_len, std::string(16, '\0'), ""};
    each_attribute(RTM_RTA(route), head->nlmsg_len - NLMSG_LENGTH(sizeof *route),
                   [&](const nlattr* attribute, std::string_view value) {
                     if (attribute->nla_type == RTA_DST) found.destination = std::string(value);
                     if (attribute->nla_type == RTA_OIF) found.device = device_name(value);
                   });
    each(found);
  });
}

}  // namespace

Result<std::vector<Taken>> taken_networks(Netlink& socket) {
  std::vector<Taken> list;
  auto routes = each_route(socket, [&](const Route& route) {
    // The way to everywhere is no reason to go nowhere.
    if (route.prefix == 0) return;
    list.push_back({route.family, address_text(route.family, route.destination, route.prefix), route.device});
  });
  if (!routes) return routes.failure();
  Messages request;
  request.begin(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}, "addresses");
  request.end();
  auto addresses = socket.ask(request, STAGE, [&](const nlmsghdr* head) {
    if (head->nlmsg_type != RTM_NEWADDR) return;
    const auto* info = static_cast<const ifaddrmsg*>(NLMSG_DATA(head));
    char name[IF_NAMESIZE] = "";
    std::string device = if_indextoname(info->ifa_index, name) ? name : "";
    each_attribute(IFA_RTA(info), head->nlmsg_len - NLMSG_LENGTH(sizeof *info),
                   [&](const nlattr* attribute, std::string_view value) {
                     if (attribute->nla_type == IFA_ADDRESS)
                       list.push_back({info->ifa_family, address_text(info->ifa_family, value, info->ifa_prefixlen), device});
                   });
  });
  if (!addresses) return addresses.failure();
  return list;
}

Result<std::vector<std::string>> uplinks(Netlink& socket) {
  std::set<std::string> names;
  auto routes = each_route(socket, [&](const Route& route) {
    if (route.prefix == 0 && !route.device.empty() && route.device != "lo") names.insert(route.device);
  });
  if (!routes) return routes.failure();
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace caisson
