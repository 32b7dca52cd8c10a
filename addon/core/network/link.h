// Network devices, addresses and routes (rtnetlink(7)).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/network/netlink.h"

namespace caisson {

// An address with the length of its network, as text: `10.1.2.3/24`.
struct Address {
  int family = 0;  // AF_INET, AF_INET6
  std::array<uint8_t, 16> bytes{};
  uint8_t prefix = 0;

  size_t size() const;
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), size()}; }
};

// Without a length the whole address is the network. family 0: not an address.
Address parse_address(const std::string& text);
std::array<uint8_t, 6> parse_mac(const std::string& text);

struct Bridge {
  std::string name;
  std::string mac;
  uint32_t mtu = 0;
  std::vector<Address> addresses;
};

// One end is a port of a bridge here, the other, `inside`, lies in another namespace.
struct Pair {
  std::string name;
  std::string bridge;
  std::string inside;
  std::string mac;       // of the end inside
  std::string port_mac;  // of the port
  uint32_t mtu = 0;
  bool big_tcp = false;  // see BIG_TCP_SIZE in link.cc
};

// What the host has already, for the choice of subnets.
struct Taken {
  int family;
  std::string network;  // `10.0.0.0/8`
  std::string device;
};

// Makes it and gives it its addresses, unless it is there with them.
Result<> make_bridge(Netlink& socket, const Bridge& bridge);
Result<> remove_link(Netlink& socket, const std::string& name);
Result<> make_pair(Netlink& socket, const Pair& pair, int netns);
// The hardware address that is behind its port, and behind no other.
Result<> tell_bridge(Netlink& socket, const Pair& pair);
// 0: there is none of that name.
Result<int> link_index(Netlink& socket, const std::string& name);

// A bridge and its port drop everything until the kernel has noticed, a moment after the other end came up (linkwatch),
// that they are connected; a first packet would come again a second later. Asking makes a newer kernel (6.10) notice.
void await_carrier(Netlink& socket, const std::string& name);
// Of a device inside: up, with its addresses, and routes to everywhere by the gateways.
Result<> set_up_inside(Netlink& socket, const std::string& name, const std::vector<Address>& addresses,
                       const std::vector<Address>& gateways);
// To messages that are sent together. `name` is that of the device `index`.
void add_address(Messages& messages, int index, const Address& address, const std::string& name);
Result<> set_loopback_up(Netlink& socket);

Result<std::vector<Taken>> taken_networks(Netlink& socket);
// Devices that packets to the rest of the world leave by.
Result<std::vector<std::string>> uplinks(Netlink& socket);

}  // namespace caisson
