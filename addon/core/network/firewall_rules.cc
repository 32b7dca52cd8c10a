#include "core/network/firewall_rules.h"

#include <net/ethernet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter_bridge.h>
#include <linux/rtnetlink.h>

namespace caisson {

using namespace set_names;

namespace {

// nft's numbers of types.
constexpr uint32_t IPV4 = 7, IPV6 = 8, ETHER = 9, PROTOCOL = 12, SERVICE = 13, DEVICE = 41;
constexpr uint32_t with(uint32_t a, uint32_t b) { return a << 6 | b; }

// The first registers hold what is looked up; FOUND what a map gave; SPARE what is compared.
constexpr int KEY = 0, FOUND = 8, SPARE = 14;

constexpr int PRIORITY_RAW = -300, PRIORITY_DNAT = -100, PRIORITY_FILTER = 0, PRIORITY_SNAT = 100;

std::string native(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); }

Rule& family(Rule& rule, int family) {
  return rule.meta(NFT_META_NFPROTO, SPARE).equal(SPARE, bytes_of(static_cast<uint8_t>(family)));
}

Rule& from(Rule& rule, const char* set, bool inverted = false) {
  return rule.meta(NFT_META_IIFNAME, KEY).in(set, KEY, inverted);
}

Rule& towards(Rule& rule, const char* set, bool inverted = false) {
  return rule.meta(NFT_META_OIFNAME, KEY).in(set, KEY, inverted);
}

Rule& answers(Rule& rule) {
  // Bits of nft: established, related.
  return rule.ct(NFT_CT_STATE, SPARE).mask(SPARE, native(2 | 4)).differs(SPARE, native(0));
}

Rule& translated(Rule& rule) {
  return rule.ct(NFT_CT_STATUS, SPARE).mask(SPARE, native(IPS_DST_NAT)).differs(SPARE, native(0));
}

Rule& destination4(Rule& rule, std::string_view network, std::string_view mask) {
  family(rule, NFPROTO_IPV4);
  return rule.payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, SPARE).mask(SPARE, mask).equal(SPARE, network);
}

Rule& icmp6(Rule& rule, uint8_t first, uint8_t last) {
  rule.meta(NFT_META_L4PROTO, SPARE).equal(SPARE, bytes_of(static_cast<uint8_t>(IPPROTO_ICMPV6)));
  rule.payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, SPARE);
  return rule.compare(NFT_CMP_GTE, SPARE, bytes_of(first)).compare(NFT_CMP_LTE, SPARE, bytes_of(last));
}

constexpr uint8_t ND_SOLICIT = 135, ND_ADVERT = 136, ND_ROUTER = 134, ND_REDIRECT = 137;

using std::string_literals::operator""s;

struct Place6 {
  std::string address;
  uint32_t size;
};

// Where clouds tell their machines, without asking who they are, what others must not know: link-local addresses, and
// those that some have elsewhere (lib/registry/address.ts has the same for what a server leads to).
void guard_metadata(Batch& batch) {
  batch.chain("clouds");
  const std::string whole(4, '\xff');
  const std::pair<std::string, std::string> places4[] = {
      {"\xa9\xfe\0\0"s, "\xff\xff\0\0"s},  // 169.254.0.0/16
      {"\x64\x64\x64\xc8"s, whole},         // 100.100.100.200
      {"\xa8\x3f\x81\x10"s, whole},         // 168.63.129.16
  };
  for (const auto& [network, mask] : places4) {
    Rule rule;
    batch.rule("clouds", destination4(rule, network, mask).verdict(NF_DROP));
  }
  const std::string zeros(8, '\0');
  const Place6 places6[] = {
      {"\xfd\x00\x0e\xc2"s, 4},                                              // fd00:ec2::/32
      {"\xfd\x20\x00\xce"s + zeros + "\0\0\x02\x54"s, 16},                  // fd20:ce::254
      {"\xfd\x00\x00\xc1"s + zeros + "\xa9\xfe\xa9\xfe"s, 16},               // fd00:c1::a9fe:a9fe
      {"\xfd\x00\x00\x42"s + zeros + "\0\0\x00\x42"s, 16},                  // fd00:42::42
  };
  for (const auto& [address, size] : places6) {
    Rule rule;
    family(rule, NFPROTO_IPV6).payload(NFT_PAYLOAD_NETWORK_HEADER, 24, size, FOUND).equal(FOUND, address);
    batch.rule("clouds", rule.verdict(NF_DROP));
  }
}

void guard_before_routing(Batch& batch) {
  guard_metadata(batch);
  batch.base_chain("before", "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW);
  Rule loopback, clouds;
  // No container talks to the host's loopback, whatever the host's sysctls (route_localnet) say.
  from(loopback, BRIDGES);
  batch.rule("before", destination4(loopback, "\x7f\0\0\0"s, "\xff\0\0\0"s).verdict(NF_DROP));
  from(clouds, BRIDGES);
  batch.rule("before", from(clouds, METADATA, true).jump("clouds"));
}

void guard_host(Batch& batch) {
  batch.base_chain("to_host", "filter", NF_INET_LOCAL_IN, PRIORITY_FILTER);
  Rule known, neighbours, inner;
  from(known, BRIDGES);
  batch.rule("to_host", answers(known).verdict(NF_ACCEPT));
  from(neighbours, BRIDGES);
  family(neighbours, NFPROTO_IPV6);
  batch.rule("to_host", icmp6(neighbours, ND_SOLICIT, ND_ADVERT).verdict(NF_ACCEPT));
  // Internal: not even the host.
  from(inner, BRIDGES);
  from(inner, OUTWARD, true);
  batch.rule("to_host", inner.verdict(NF_DROP));
}

void guard_forwarding(Batch& batch) {
  batch.base_chain("forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER);
  Rule known, within, published, elsewhere, inner, opened;
  // In our own words only: other tables still decide for themselves.
  batch.rule("forward", answers(known).verdict(NF_ACCEPT));
  // Frames between ports of one bridge come by here where br_netfilter is loaded.
  within.meta(NFT_META_IIFNAME, KEY).meta(NFT_META_OIFNAME, KEY + 4).in(WITHIN, KEY);
  batch.rule("forward", within.verdict(NF_ACCEPT));
  // Internal: not to what others publish either, which the host's address on the bridge would lead to.
  from(inner, BRIDGES);
  from(inner, OUTWARD, true);
  batch.rule("forward", inner.verdict(NF_DROP));
  towards(published, BRIDGES);
  batch.rule("forward", translated(published).verdict(NF_ACCEPT));
  // Neither from one network to another nor from outside, by whoever routes to us.
  batch.rule("forward", towards(elsewhere, BRIDGES).verdict(NF_DROP));
  // The host has not become a router for its neighbours because our containers need one.
  batch.rule("forward", from(opened, OPENED).verdict(NF_DROP));
}

void redirect(Batch& batch, const char* chain, int family_number) {
  bool v4 = family_number == NFPROTO_IPV4;
  int address = v4 ? 1 : 4;
  auto begin = [&](Rule& rule) {
    family(rule, family_number);
    if (v4) {
      // Loopback is served by a socket: translated, its packets would have to be routed where they may not go.
      rule.payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, SPARE).mask(SPARE, "\xff\0\0\0"s);
      rule.differs(SPARE, "\x7f\0\0\0"s);
    } else {
      rule.payload(NFT_PAYLOAD_NETWORK_HEADER, 24, 16, FOUND).differs(FOUND, std::string(15, '\0') + '\1');
    }
    rule.destination_type(SPARE).equal(SPARE, native(RTN_LOCAL));
  };
  Rule exact, any;
  begin(exact);
  exact.payload(NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24, v4 ? 4 : 16, KEY);
  exact.meta(NFT_META_L4PROTO, KEY + address).payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, KEY + address + 1);
  exact.map(v4 ? PUBLISHED4 : PUBLISHED6, KEY, FOUND).destination_nat(family_number, FOUND, FOUND + address);
  batch.rule(chain, exact);
  begin(any);
  any.meta(NFT_META_L4PROTO, KEY).payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, KEY + 1);
  any.map(v4 ? ANYWHERE4 : ANYWHERE6, KEY, FOUND).destination_nat(family_number, FOUND, FOUND + address);
  batch.rule(chain, any);
}

void translate(Batch& batch) {
  batch.base_chain("arriving", "nat", NF_INET_PRE_ROUTING, PRIORITY_DNAT);
  batch.base_chain("local", "nat", NF_INET_LOCAL_OUT, PRIORITY_DNAT);
  for (const char* chain : {"arriving", "local"})
    for (int number : {NFPROTO_IPV4, NFPROTO_IPV6}) redirect(batch, chain, number);

  batch.base_chain("leaving", "nat", NF_INET_POST_ROUTING, PRIORITY_SNAT);
  // To itself or a neighbour by the host's address: the answer has to come back the same way. With br_netfilter these
  // are frames, of which is not known here where they came from; hence by the sender.
  for (bool v4 : {true, false}) {
    Rule hairpin;
    family(hairpin, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    hairpin.meta(NFT_META_OIFNAME, KEY);
    hairpin.payload(NFT_PAYLOAD_NETWORK_HEADER, v4 ? 12 : 8, v4 ? 4 : 16, KEY + 4).in(v4 ? MEMBERS4 : MEMBERS6, KEY);
    batch.rule("leaving", translated(hairpin).masquerade());
  }
  Rule outside;
  from(outside, OUTWARD);
  batch.rule("leaving", towards(outside, BRIDGES, true).masquerade());
}

}  // namespace

void write_routing_table(Batch& batch, const std::string& name) {
  batch.table(NFPROTO_INET, name, true);
  for (const char* set : {BRIDGES, OUTWARD, METADATA, OPENED}) batch.set({set, DEVICE, 16, 0, 0, true});
  batch.set({WITHIN, with(DEVICE, DEVICE), 32});
  batch.set({MEMBERS4, with(DEVICE, IPV4), 20});
  batch.set({MEMBERS6, with(DEVICE, IPV6), 32});
  const uint32_t port = with(PROTOCOL, SERVICE);
  batch.set({PUBLISHED4, with(with(IPV4, PROTOCOL), SERVICE), 12, with(IPV4, SERVICE), 8});
  batch.set({PUBLISHED6, with(with(IPV6, PROTOCOL), SERVICE), 24, with(IPV6, SERVICE), 20});
  batch.set({ANYWHERE4, port, 8, with(IPV4, SERVICE), 8});
  batch.set({ANYWHERE6, port, 8, with(IPV6, SERVICE), 20});
  guard_before_routing(batch);
  guard_host(batch);
  guard_forwarding(batch);
  translate(batch);
}

void write_resolver_table(Batch& batch, const Address& address, uint16_t port, uint16_t udp, uint16_t tcp) {
  batch.table(NFPROTO_IPV4, "caisson", false);
  batch.base_chain("resolver", "nat", NF_INET_LOCAL_OUT, PRIORITY_DNAT);
  for (auto [protocol, to] : {std::pair{IPPROTO_UDP, udp}, std::pair{IPPROTO_TCP, tcp}}) {
    Rule rule;
    rule.payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, SPARE).equal(SPARE, address.view());
    rule.meta(NFT_META_L4PROTO, SPARE).equal(SPARE, bytes_of(static_cast<uint8_t>(protocol)));
    rule.payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, SPARE).equal(SPARE, bytes_of(port));
    rule.load(FOUND, address.view()).load(FOUND + 1, bytes_of(to));
    batch.rule("resolver", rule.destination_nat(NFPROTO_IPV4, FOUND, FOUND + 1));
  }
}

// A port's frames carry the MAC address and the addresses that its container was given, or they are dropped: as sender
// of a packet, as the one who claims an address (ARP, neighbour advertisements), and never as a router.
void write_guarding_table(Batch& batch, const std::string& name) {
  batch.table(NFPROTO_BRIDGE, name, true);
  batch.set({PORTS, DEVICE, 16, 0, 0, true});
  batch.set({MACS, with(DEVICE, ETHER), 24});
  batch.set({ADDRESSES4, with(DEVICE, IPV4), 20});
  batch.set({ADDRESSES6, with(DEVICE, IPV6), 32});
  batch.chain("sender");

  auto pair = [](Rule& rule, nft_payload_bases base, uint32_t offset, uint32_t size) -> Rule& {
    return rule.meta(NFT_META_IIFNAME, KEY).payload(base, offset, size, KEY + 4);
  };
  auto protocol = [](Rule& rule, uint16_t type) -> Rule& {
    return rule.meta(NFT_META_PROTOCOL, SPARE).equal(SPARE, bytes_of(type));
  };

  Rule mac, arp_mac, arp_address, v4, router, redirect, advert, v6, rest;
  pair(mac, NFT_PAYLOAD_LL_HEADER, 6, 6).in(MACS, KEY, true).verdict(NF_DROP);
  protocol(arp_mac, ETH_P_ARP);
  pair(arp_mac, NFT_PAYLOAD_NETWORK_HEADER, 8, 6).in(MACS, KEY, true).verdict(NF_DROP);
  protocol(arp_address, ETH_P_ARP);
  pair(arp_address, NFT_PAYLOAD_NETWORK_HEADER, 14, 4).in(ADDRESSES4, KEY).verdict(NF_ACCEPT);
  protocol(v4, ETH_P_IP);
  pair(v4, NFT_PAYLOAD_NETWORK_HEADER, 12, 4).in(ADDRESSES4, KEY).verdict(NF_ACCEPT);
  icmp6(protocol(router, ETH_P_IPV6), ND_ROUTER, ND_ROUTER).verdict(NF_DROP);
  icmp6(protocol(redirect, ETH_P_IPV6), ND_REDIRECT, ND_REDIRECT).verdict(NF_DROP);
  icmp6(protocol(advert, ETH_P_IPV6), ND_ADVERT, ND_ADVERT);
  pair(advert, NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16).in(ADDRESSES6, KEY, true).verdict(NF_DROP);
  protocol(v6, ETH_P_IPV6);
  pair(v6, NFT_PAYLOAD_NETWORK_HEADER, 8, 16).in(ADDRESSES6, KEY).verdict(NF_ACCEPT);
  rest.verdict(NF_DROP);
  for (Rule* rule : {&mac, &arp_mac, &arp_address, &v4, &router, &redirect, &advert, &v6, &rest})
    batch.rule("sender", *rule);

  batch.base_chain("ports_in", "filter", NF_BR_PRE_ROUTING, PRIORITY_RAW);
  Rule guarded;
  batch.rule("ports_in", from(guarded, PORTS).jump("sender"));
}

}  // namespace caisson
