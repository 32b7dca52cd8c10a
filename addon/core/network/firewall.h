// Our rules, in two tables of nf_tables that belong to this process (NFT_TABLE_F_OWNER): what guards the ports of our
// bridges (family bridge), and what routes, translates and isolates (family inet). The kernel removes both when the
// process ends, however it ends; nobody else can change them, and we change nobody's.
//
// The rules are written once. Networks, containers and published ports are elements of sets that they look into, so
// that each start is one small transaction.
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/network/link.h"
#include "core/network/nft.h"
#include "core/network/place.h"
#include "core/result.h"

namespace caisson {

struct NetworkRule {
  std::string bridge;
  bool outward = false;   // may reach the rest of the world
  bool metadata = false;  // may reach link-local addresses, as those of cloud metadata
};

// Of one port of a bridge: who its container is.
struct PortRule {
  std::string name;
  std::string mac;
  std::string bridge;
  std::vector<Address> addresses;
};

struct PublishedRule {
  uint8_t protocol = 0;           // IPPROTO_*
  std::optional<Address> address;  // of the host; none: all of the family of `to`
  uint16_t port = 0;
  Address to;
  uint16_t to_port = 0;
};

struct FirewallChange {
  std::vector<NetworkRule> networks;
  std::vector<PortRule> ports;
  std::vector<PublishedRule> published;
  // Devices that forward only because we made them: nothing but what our networks need goes on from there.
  std::vector<std::string> opened;
};

class Firewall {
 public:
  // Lives as long as this process.
  explicit Firewall(Sockets& sockets) : sockets_(sockets) {}

  // One transaction. What is removed and not there is no error.
  Result<> add(const FirewallChange& change);
  Result<> remove(const FirewallChange& change);

 private:
  using Element = std::pair<std::string, std::string>;  // set, key
  Result<> change(const FirewallChange& change, bool add);
  Result<> prepare();
  bool is_gone(const std::string& device);
  void sweep_later();

  Sockets& sockets_;
  std::mutex mutex_;
  std::optional<Netlink> socket_;
  std::string table_;
  std::set<Element> elements_;
  Fd asking_;
  // Ports that are nobody's any more while their devices are there still: the kernel takes those some time after the
  // container's end, and what is left of it would answer in any name, if nothing guarded it.
  std::set<std::string> leaving_;
  bool sweeping_ = false;
};

// Chains of others that drop what is forwarded unless they know it, as `ip filter FORWARD`.
Result<std::vector<std::string>> dropping_chains(Sockets& sockets);

}  // namespace caisson
