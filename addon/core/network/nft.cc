#include "core/network/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

namespace caisson {

namespace {

// Numbers of registers as the kernel wants them.
uint32_t reg(int number) { return static_cast<uint32_t>(NFT_REG32_00 + number); }

void put_value(Messages& messages, uint16_t type, std::string_view value) {
  size_t data = messages.open(type);
  messages.put(NFTA_DATA_VALUE, value);
  messages.close(data);
}

}  // namespace

template <typename Fill>
Rule& Rule::expression(const char* name, Fill fill) {
  size_t element = expressions_.open(NFTA_LIST_ELEM);
  expressions_.text(NFTA_EXPR_NAME, name);
  size_t data = expressions_.open(NFTA_EXPR_DATA);
  fill();
  expressions_.close(data);
  expressions_.close(element);
  return *this;
}

Rule& Rule::meta(nft_meta_keys key, int to) {
  return expression("meta", [&] {
    expressions_.put32be(NFTA_META_KEY, key);
    expressions_.put32be(NFTA_META_DREG, reg(to));
  });
}

Rule& Rule::ct(nft_ct_keys key, int to) {
  return expression("ct", [&] {
    expressions_.put32be(NFTA_CT_KEY, key);
    expressions_.put32be(NFTA_CT_DREG, reg(to));
  });
}

Rule& Rule::payload(nft_payload_bases base, uint32_t offset, uint32_t size, int to) {
  return expression("payload", [&] {
    expressions_.put32be(NFTA_PAYLOAD_DREG, reg(to));
    expressions_.put32be(NFTA_PAYLOAD_BASE, base);
    expressions_.put32be(NFTA_PAYLOAD_OFFSET, offset);
    expressions_.put32be(NFTA_PAYLOAD_LEN, size);
  });
}

Rule& Rule::destination_type(int to) {
  return expression("fib", [&] {
    expressions_.put32be(NFTA_FIB_DREG, reg(to));
    expressions_.put32be(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    expressions_.put32be(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
}

Rule& Rule::load(int to, std::string_view value) {
  return expression("immediate", [&] {
    expressions_.put32be(NFTA_IMMEDIATE_DREG, reg(to));
    put_value(expressions_, NFTA_IMMEDIATE_DATA, value);
  });
}

Rule& Rule::mask(int at, std::string_view mask) {
  return expression("bitwise", [&] {
    expressions_.put32be(NFTA_BITWISE_SREG, reg(at));
    expressions_.put32be(NFTA_BITWISE_DREG, reg(at));
    expressions_.put32be(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
    put_value(expressions_, NFTA_BITWISE_MASK, mask);
    put_value(expressions_, NFTA_BITWISE_XOR, std::string(mask.size(), '\0'));
  });
}

Rule& Rule::compare(nft_cmp_ops how, int at, std::string_view value) {
  return expression("cmp", [&] {
    expressions_.put32be(NFTA_CMP_SREG, reg(at));
    expressions_.put32be(NFTA_CMP_OP, how);
    put_value(expressions_, NFTA_CMP_DATA, value);
  });
}

Rule& Rule::in(const std::string& set, int at, bool inverted) {
  return expression("lookup", [&] {
    expressions_.text(NFTA_LOOKUP_SET, set);
    expressions_.put32be(NFTA_LOOKUP_SREG, reg(at));
    if (inverted) expressions_.put32be(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  });
}

Rule& Rule::map(const std::string& map, int at, int to) {
  return expression("lookup", [&] {
    expressions_.text(NFTA_LOOKUP_SET, map);
    expressions_.put32be(NFTA_LOOKUP_SREG, reg(at));
    expressions_.put32be(NFTA_LOOKUP_DREG, reg(to));
  });
}

Rule& Rule::destination_nat(int family, int address, int port) {
  return expression("nat", [&] {
    expressions_.put32be(NFTA_NAT_TYPE, NFT_NAT_DNAT);
    expressions_.put32be(NFTA_NAT_FAMILY, static_cast<uint32_t>(family));
    expressions_.put32be(NFTA_NAT_REG_ADDR_MIN, reg(address));
    expressions_.put32be(NFTA_NAT_REG_PROTO_MIN, reg(port));
  });
}

Rule& Rule::masquerade() {
  return expression("masq", [] {});
}

Rule& Rule::to_socket(int family, int address, int port) {
  return expression("tproxy", [&] {
    expressions_.put32be(NFTA_TPROXY_FAMILY, static_cast<uint32_t>(family));
    expressions_.put32be(NFTA_TPROXY_REG_ADDR, reg(address));
    expressions_.put32be(NFTA_TPROXY_REG_PORT, reg(port));
  });
}

Rule& Rule::reset() {
  return expression("reject", [&] {
    expressions_.put32be(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
    expressions_.put8(NFTA_REJECT_ICMP_CODE, 0);
  });
}

Rule& Rule::over(uint32_t rate, uint32_t burst) {
  auto wide = [](uint32_t value) { return bytes_of(uint32_t{0}) + bytes_of(value); };
  return expression("limit", [&] {
    expressions_.put(NFTA_LIMIT_RATE, wide(rate));
    expressions_.put(NFTA_LIMIT_UNIT, wide(1));
    expressions_.put32be(NFTA_LIMIT_BURST, burst);
    expressions_.put32be(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
    expressions_.put32be(NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV);
  });
}

Rule& Rule::decide(int verdict, const std::string& chain) {
  return expression("immediate", [&] {
    expressions_.put32be(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t data = expressions_.open(NFTA_IMMEDIATE_DATA);
    size_t code = expressions_.open(NFTA_DATA_VERDICT);
    expressions_.put32be(NFTA_VERDICT_CODE, static_cast<uint32_t>(verdict));
    if (!chain.empty()) expressions_.text(NFTA_VERDICT_CHAIN, chain);
    expressions_.close(code);
    expressions_.close(data);
  });
}

Rule& Rule::verdict(int verdict) { return decide(verdict, ""); }
Rule& Rule::jump(const std::string& chain) { return decide(NFT_JUMP, chain); }

std::string bytes_of(uint8_t value) { return std::string(1, static_cast<char>(value)); }

std::string bytes_of(uint16_t host) {
  uint16_t value = htons(host);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string bytes_of(uint32_t host) {
  uint32_t value = htonl(host);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string device_bytes(const std::string& name) {
  std::string bytes = name.substr(0, IFNAMSIZ - 1);
  bytes.resize(IFNAMSIZ, '\0');
  return bytes;
}

// --- transactions -------------------------------------------------------------------------------------------------

// The subsystem stands in the type of every message, except for those that begin and end a transaction.
void Batch::mark(int message) {
  nfgenmsg info = {AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
  messages_.begin(static_cast<uint16_t>(message), 0, info, "transaction");
  messages_.end();
}

Batch::Batch() { mark(NFNL_MSG_BATCH_BEGIN); }

const Messages& Batch::finish() {
  mark(NFNL_MSG_BATCH_END);
  return messages_;
}

void Batch::begin(int message, int flags, const std::string& what) {
  nfgenmsg info = {static_cast<uint8_t>(family_), NFNETLINK_V0, 0};
  messages_.begin(static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message),
                  static_cast<uint16_t>(NLM_F_ACK | flags), info, what);
}

void Batch::in_table(int family, const std::string& name) {
  family_ = family;
  table_ = name;
}

void Batch::table(int family, const std::string& name, bool owned) {
  in_table(family, name);
  begin(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, "table " + name);
  messages_.text(NFTA_TABLE_NAME, name);
  messages_.put32be(NFTA_TABLE_FLAGS, owned ? NFT_TABLE_F_OWNER : 0);
  messages_.end();
}

void Batch::chain(const std::string& name) {
  begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "chain " + name);
  messages_.text(NFTA_CHAIN_TABLE, table_);
  messages_.text(NFTA_CHAIN_NAME, name);
  messages_.end();
}

void Batch::base_chain(const std::string& name, const char* type, int hook, int priority) {
  begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "chain " + name);
  messages_.text(NFTA_CHAIN_TABLE, table_);
  messages_.text(NFTA_CHAIN_NAME, name);
  size_t where = messages_.open(NFTA_CHAIN_HOOK);
  messages_.put32be(NFTA_HOOK_HOOKNUM, static_cast<uint32_t>(hook));
  messages_.put32be(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(priority));
  messages_.close(where);
  messages_.put32be(NFTA_CHAIN_POLICY, NF_ACCEPT);
  messages_.text(NFTA_CHAIN_TYPE, type);
  messages_.end();
}

void Batch::set(const SetShape& shape) {
  begin(NFT_MSG_NEWSET, NLM_F_CREATE, "set " + shape.name);
  messages_.text(NFTA_SET_TABLE, table_);
  messages_.text(NFTA_SET_NAME, shape.name);
  messages_.put32be(NFTA_SET_FLAGS, shape.data_size ? NFT_SET_MAP : 0);
  messages_.put32be(NFTA_SET_KEY_TYPE, shape.key_type);
  messages_.put32be(NFTA_SET_KEY_LEN, shape.key_size);
  if (shape.data_size) {
    messages_.put32be(NFTA_SET_DATA_TYPE, shape.data_type);
    messages_.put32be(NFTA_SET_DATA_LEN, shape.data_size);
  }
  messages_.put32be(NFTA_SET_ID, next_set_++);
  // For nft(8), which would show names of devices backwards: the keys are in the order of this host.
  if (shape.host_order) messages_.put(NFTA_SET_USERDATA, std::string_view("\0\4\1\0\0\0", 6));
  messages_.end();
}

void Batch::rule(const std::string& chain, const Rule& rule) {
  begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "rule of " + chain);
  messages_.text(NFTA_RULE_TABLE, table_);
  messages_.text(NFTA_RULE_CHAIN, chain);
  size_t expressions = messages_.open(NFTA_RULE_EXPRESSIONS);
  messages_.append(rule.expressions());
  messages_.close(expressions);
  messages_.end();
}

void Batch::element(int message, int flags, const std::string& set, std::string_view key, std::string_view data) {
  begin(message, flags, "element of " + set);
  messages_.text(NFTA_SET_ELEM_LIST_TABLE, table_);
  messages_.text(NFTA_SET_ELEM_LIST_SET, set);
  size_t list = messages_.open(NFTA_SET_ELEM_LIST_ELEMENTS);
  size_t one = messages_.open(NFTA_LIST_ELEM);
  put_value(messages_, NFTA_SET_ELEM_KEY, key);
  if (!data.empty()) put_value(messages_, NFTA_SET_ELEM_DATA, data);
  messages_.close(one);
  messages_.close(list);
  messages_.end();
}

void Batch::add(const std::string& set, std::string_view key, std::string_view data) {
  element(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set, key, data);
}

void Batch::remove(const std::string& set, std::string_view key) {
  element(NFT_MSG_DELSETELEM, 0, set, key, {});
}

}  // namespace caisson
