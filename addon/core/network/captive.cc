#include "core/network/captive.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/network/endpoint_socket.h"
#include "core/network/firewall_rules.h"
#include "core/network/nft.h"

namespace caisson {

namespace {

constexpr char STAGE[] = "egress";
constexpr char RESOLVER[] = "127.0.0.11", HERE4[] = "127.0.0.1", HERE6[] = "::1";
constexpr int NAME_PORT = 53, BACKLOG = 1024;
// The first device of every network namespace.
constexpr int LOOPBACK = 1;
// Registers; see nft.h.
constexpr int SPARE = 14, TO = 8, PORT = 12;
// Before anybody's own rules for the same hooks.
constexpr int PRIORITY = -150;
constexpr uint8_t SYN = 0x02, ACK = 0x10;
// Of new connections, and of packets to the name server, in a second. Each takes a moment of the owner's event loop.
constexpr uint32_t RATE = 1000, BURST = 2000;

// Everywhere is here.
void add_route(Messages& messages, const Address& own) {
  rtmsg info = {};
  info.rtm_family = static_cast<uint8_t>(own.family);
  info.rtm_table = RT_TABLE_LOCAL;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_scope = RT_SCOPE_HOST;
  info.rtm_type = RTN_LOCAL;
  messages.begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, info, "route through lo");
  messages.put32(RTA_OIF, LOOPBACK);
  messages.put(RTA_PREFSRC, own.view());
  messages.end();
}

Result<> open_routes(Netlink& socket, const Address& own) {
  Messages messages;
  add_address(messages, LOOPBACK, own, "lo");
  add_route(messages, own);
  return socket.talk(messages, STAGE);
}

Result<> listen_on(int fd, const char* address, int type, bool captures) {
  int on = 1;
  SocketAddress here(parse_address(address), 0);
  bool v6 = here.family() == AF_INET6;
  if (v6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (captures && setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof on) < 0)
    return failed(STAGE, "setsockopt", "IP_TRANSPARENT");
  if (bind(fd, here.get(), here.size) < 0) return failed(STAGE, "bind", address);
  if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0) return failed(STAGE, "listen", address);
  return Nothing{};
}

Result<int> port_of(int fd) {
  SocketAddress address;
  if (getsockname(fd, address.get(), &address.size) < 0) return failed(STAGE, "getsockname");
  return address.port();
}

// One version of IP, as rules see it.
struct Family {
  int number;
  uint32_t offset, size;  // of the destination in the header
};
constexpr Family V4 = {NFPROTO_IPV4, 16, 4}, V6 = {NFPROTO_IPV6, 24, 16};

Rule& of(Rule& rule, const Family& family) {
  return rule.meta(NFT_META_NFPROTO, SPARE).equal(SPARE, bytes_of(static_cast<uint8_t>(family.number)));
}

Rule& streams(Rule& rule) {
  return rule.meta(NFT_META_L4PROTO, SPARE).equal(SPARE, bytes_of(static_cast<uint8_t>(IPPROTO_TCP)));
}

std::string mask_of(const Address& network) {
  std::string mask(network.size(), '\0');
  for (size_t bit = 0; bit < network.prefix; bit++) mask[bit / 8] = static_cast<char>(mask[bit / 8] | 0x80 >> bit % 8);
  return mask;
}

Rule& towards(Rule& rule, const Family& family, const Address& network) {
  of(rule, family).payload(NFT_PAYLOAD_NETWORK_HEADER, family.offset, family.size, TO);
  if (network.prefix == 0) return rule;
  return rule.mask(TO, mask_of(network)).equal(TO, network.view());
}

const Family& family_of(const Address& address) { return address.family == AF_INET ? V4 : V6; }

// Its own loopback and its own address stay the container's affair.
void spare_own(Batch& batch, const char* chain, const CaptiveSettings& settings) {
  for (const Address& own : {parse_address("127.0.0.0/8"), settings.own4, parse_address("::1"), settings.own6}) {
    Rule rule;
    batch.rule(chain, towards(rule, family_of(own), own).verdict(NF_ACCEPT));
  }
}

void capture(Batch& batch, const Family& family, const char* here, uint16_t port) {
  Rule rule;
  streams(of(rule, family)).load(TO, parse_address(here).view()).load(PORT, bytes_of(port));
  batch.rule("arriving", rule.to_socket(family.number, TO, PORT).verdict(NF_ACCEPT));
}

Rule& opening(Rule& rule) {
  streams(rule).payload(NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, SPARE);
  return rule.mask(SPARE, bytes_of(static_cast<uint8_t>(SYN | ACK))).equal(SPARE, bytes_of(SYN));
}

Rule& to_port(Rule& rule, uint16_t port) {
  return rule.payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, SPARE).equal(SPARE, bytes_of(port));
}

// One container's floods must not take all of the owner's time. What is too much is lost, and sent again later.
void bound_floods(Batch& batch, const CaptiveSettings& settings, uint16_t port4, uint16_t port6) {
  Rule questions, connections, direct4, direct6;
  towards(questions, V4, parse_address(RESOLVER));
  batch.rule("leaving", questions.over(RATE, BURST).verdict(NF_DROP));
  // Who dials our own port has dialled nowhere.
  batch.rule("leaving", to_port(opening(towards(direct4, V4, parse_address(HERE4))), port4).verdict(NF_DROP));
  if (port6) batch.rule("leaving", to_port(opening(towards(direct6, V6, parse_address(HERE6))), port6).verdict(NF_DROP));
  spare_own(batch, "leaving", settings);
  batch.rule("leaving", opening(connections).over(RATE, BURST).verdict(NF_DROP));
}

// UDP and ICMP to elsewhere get EPERM at once: answers would come from the container itself.
void write_capturing_table(Batch& batch, const CaptiveSettings& settings, uint16_t port4, uint16_t port6) {
  batch.table(NFPROTO_INET, "caisson_egress", false);
  batch.base_chain("arriving", "filter", NF_INET_PRE_ROUTING, PRIORITY);
  spare_own(batch, "arriving", settings);
  capture(batch, V4, HERE4, port4);
  if (port6) capture(batch, V6, HERE6, port6);
  batch.base_chain("leaving", "filter", NF_INET_LOCAL_OUT, PRIORITY);
  bound_floods(batch, settings, port4, port6);
  Rule tcp, rest;
  batch.rule("leaving", streams(tcp).verdict(NF_ACCEPT));
  batch.rule("leaving", rest.verdict(NF_DROP));
}

// The sender of the first packet of a connection that no rule could allow learns it from the kernel. That is courtesy:
// what gets through is judged by whoever accepts it.
void write_refusing_table(Batch& batch, const CaptiveSettings& settings) {
  batch.table(NFPROTO_INET, "caisson_refused", false);
  batch.base_chain("leaving", "filter", NF_INET_LOCAL_OUT, PRIORITY - 1);
  spare_own(batch, "leaving", settings);
  for (const OpenTo& open : settings.open) {
    Rule rule;
    streams(towards(rule, family_of(open.network), open.network));
    if (open.first > 0 || open.last < 65535) {
      rule.payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, SPARE);
      rule.compare(NFT_CMP_GTE, SPARE, bytes_of(open.first)).compare(NFT_CMP_LTE, SPARE, bytes_of(open.last));
    }
    batch.rule("leaving", rule.verdict(NF_ACCEPT));
  }
  Rule refused;
  batch.rule("leaving", opening(refused).reset());
}

}  // namespace

Result<int> set_up_captive(CaptiveSockets sockets, const CaptiveSettings& settings) {
  auto routes = Netlink::adopt(std::move(sockets.routes)), rules = Netlink::adopt(std::move(sockets.rules));
  if (!routes) return routes.failure();
  if (!rules) return rules.failure();
  if (auto up = set_loopback_up(*routes); !up) return up.failure();
  if (auto opened = open_routes(*routes, settings.own4); !opened) return opened.failure();
  // Where IPv6 is turned off nothing leaves by it; lo alone has no other way.
  bool v6 = sockets.streams6 >= 0 && open_routes(*routes, settings.own6);
  struct {
    int fd;
    const char* address;
    int type;
    bool captures;
  } const listeners[] = {{sockets.names_udp, RESOLVER, SOCK_DGRAM, false},
                         {sockets.names_tcp, RESOLVER, SOCK_STREAM, false},
                         {sockets.streams4, HERE4, SOCK_STREAM, true},
                         {v6 ? sockets.streams6 : -1, HERE6, SOCK_STREAM, true}};
  for (auto [fd, address, type, captures] : listeners) {
    if (fd < 0) continue;
    if (auto listening = listen_on(fd, address, type, captures); !listening) return listening.failure();
  }
  uint16_t ports[4] = {};
  for (size_t i = 0; i < std::size(listeners); i++) {
    if (listeners[i].fd < 0) continue;
    auto port = port_of(listeners[i].fd);
    if (!port) return port.failure();
    ports[i] = static_cast<uint16_t>(*port);
  }
  Batch batch;
  write_resolver_table(batch, parse_address(RESOLVER), NAME_PORT, ports[0], ports[1]);
  write_capturing_table(batch, settings, ports[2], ports[3]);
  if (auto captured = rules->talk(batch.finish(), STAGE); !captured) return captured.failure();
  if (!settings.all) {
    Batch courtesy;
    write_refusing_table(courtesy, settings);
    (void)!!rules->talk(courtesy.finish(), STAGE);
  }
  return v6 ? 1 : 0;
}

}  // namespace caisson
