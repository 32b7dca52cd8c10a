// Composing requests to nf_tables: tables, chains, sets, their elements, and rules as lists of expressions.
//
// Registers are the 16 of 32 bits (NFT_REG32_00 and on), by their number from 0. What is looked up in a set is laid out
// in registers one behind the other, each part padded to 32 bits.
#pragma once

// Before the headers of the kernel, which then leave its names alone.
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/network/netlink.h"

namespace caisson {

// The expressions of one rule, in order.
class Rule {
 public:
  Rule& meta(nft_meta_keys key, int to);
  Rule& ct(nft_ct_keys key, int to);
  Rule& payload(nft_payload_bases base, uint32_t offset, uint32_t size, int to);
  // What kind of destination address it is (RTN_LOCAL and others).
  Rule& destination_type(int to);
  Rule& load(int to, std::string_view value);
  Rule& mask(int at, std::string_view mask);
  Rule& compare(nft_cmp_ops how, int at, std::string_view value);
  Rule& equal(int at, std::string_view value) { return compare(NFT_CMP_EQ, at, value); }
  Rule& differs(int at, std::string_view value) { return compare(NFT_CMP_NEQ, at, value); }
  Rule& in(const std::string& set, int at, bool inverted = false);
  Rule& map(const std::string& map, int at, int to);
  Rule& destination_nat(int family, int address, int port);
  Rule& masquerade();
  // To a listening socket that is transparent (IP_TRANSPARENT), whatever the packet's destination.
  Rule& to_socket(int family, int address, int port);
  // The sender of a TCP packet is told that nobody is there.
  Rule& reset();
  // More packets than so many a second, after the first `burst`.
  Rule& over(uint32_t rate, uint32_t burst);
  // NF_ACCEPT, NF_DROP.
  Rule& verdict(int verdict);
  Rule& jump(const std::string& chain);

  const std::string& expressions() const { return expressions_.bytes(); }

 private:
  template <typename Fill>
  Rule& expression(const char* name, Fill fill);
  Rule& decide(int verdict, const std::string& chain);

  Messages expressions_;
};

std::string bytes_of(uint8_t value);
std::string bytes_of(uint16_t host);  // in network order
std::string bytes_of(uint32_t host);  // likewise
// As the kernel compares names of devices: padded to IFNAMSIZ.
std::string device_bytes(const std::string& name);

struct SetShape {
  std::string name;
  // How nft(8) shows the key and the data: its numbers of types, six bits each.
  uint32_t key_type, key_size;
  uint32_t data_type = 0, data_size = 0;
  bool host_order = false;
};

// One transaction: everything in it happens, or nothing.
class Batch {
 public:
  Batch();
  // `owned`: the kernel removes it when our socket is closed, however that comes about, and lets nobody else change it.
  void table(int family, const std::string& name, bool owned);
  void chain(const std::string& name);
  void base_chain(const std::string& name, const char* type, int hook, int priority);
  void set(const SetShape& shape);
  void rule(const std::string& chain, const Rule& rule);
  // Later calls are about this table.
  void in_table(int family, const std::string& name);
  void add(const std::string& set, std::string_view key, std::string_view data = {});
  void remove(const std::string& set, std::string_view key);

  const Messages& finish();
  bool empty() const { return messages_.count() <= 1; }

 private:
  void begin(int message, int flags, const std::string& what);
  void element(int message, int flags, const std::string& set, std::string_view key, std::string_view data);
  void mark(int message);

  Messages messages_;
  int family_ = 0;
  uint32_t next_set_ = 1;
  std::string table_;
};

}  // namespace caisson
