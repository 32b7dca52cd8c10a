#include "core/network/firewall.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/network/firewall_rules.h"
#include "core/supervisor.h"
#include "core/threads.h"

namespace caisson {

using namespace set_names;

namespace {

constexpr char STAGE[] = "firewall";
constexpr auto SWEEP = std::chrono::seconds(1);

// A part of a key of several: padded to whole registers.
std::string part(std::string_view bytes) {
  std::string padded(bytes);
  padded.resize((bytes.size() + 3) / 4 * 4, '\0');
  return padded;
}

struct Entry {
  int family;
  const char* set;
  std::string key, data;
};

std::vector<Entry> entries_of(const FirewallChange& change) {
  std::vector<Entry> list;
  for (const NetworkRule& network : change.networks) {
    std::string device = device_bytes(network.bridge);
    list.push_back({NFPROTO_INET, BRIDGES, device, {}});
    list.push_back({NFPROTO_INET, WITHIN, device + device, {}});
    if (network.outward) list.push_back({NFPROTO_INET, OUTWARD, device, {}});
    if (network.metadata) list.push_back({NFPROTO_INET, METADATA, device, {}});
  }
  for (const std::string& name : change.opened) list.push_back({NFPROTO_INET, OPENED, device_bytes(name), {}});
  for (const PortRule& port : change.ports) {
    std::string device = device_bytes(port.name);
    auto mac = parse_mac(port.mac);
    list.push_back({NFPROTO_BRIDGE, MACS, device + part({reinterpret_cast<const char*>(mac.data()), mac.size()}), {}});
    for (const Address& address : port.addresses) {
      bool v4 = address.family == AF_INET;
      list.push_back({NFPROTO_BRIDGE, v4 ? ADDRESSES4 : ADDRESSES6, device + part(address.view()), {}});
      std::string member = device_bytes(port.bridge) + part(address.view());
      list.push_back({NFPROTO_INET, v4 ? MEMBERS4 : MEMBERS6, member, {}});
    }
    list.push_back({NFPROTO_BRIDGE, PORTS, device, {}});
  }
  for (const PublishedRule& published : change.published) {
    bool v4 = published.to.family == AF_INET;
    std::string port = part(bytes_of(published.protocol)) + part(bytes_of(published.port));
    std::string to = part(published.to.view()) + part(bytes_of(published.to_port));
    if (published.address)
      list.push_back({NFPROTO_INET, v4 ? PUBLISHED4 : PUBLISHED6, part(published.address->view()) + port, to});
    else
      list.push_back({NFPROTO_INET, v4 ? ANYWHERE4 : ANYWHERE6, port, to});
  }
  return list;
}

std::string table_name() {
  uint32_t random = 0;
  (void)!getrandom(&random, sizeof random, 0);
  char name[40];
  snprintf(name, sizeof name, "caisson_%d_%08x", getpid(), random);
  return name;
}

}  // namespace

Result<> Firewall::prepare() {
  if (socket_) return Nothing{};
  auto socket = sockets_.netlink(NETLINK_NETFILTER);
  if (!socket) return socket.failure();
  table_ = table_name();
  Batch batch;
  write_routing_table(batch, table_);
  write_guarding_table(batch, table_);
  if (auto done = socket->talk(batch.finish(), STAGE); !done) return done.failure();
  socket_ = std::move(*socket);
  return Nothing{};
}

// By an ioctl: netlink would wait for the very device, which the kernel takes milliseconds to remove.
bool Firewall::is_gone(const std::string& device) {
  if (!asking_) {
    auto socket = sockets_.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC);
    if (!socket) return false;
    asking_ = std::move(*socket);
  }
  ifreq request = {};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  return ioctl(asking_.get(), SIOCGIFINDEX, &request) < 0 && errno == ENODEV;
}

Result<> Firewall::change(const FirewallChange& change, bool add) {
  std::lock_guard lock(mutex_);
  if (!add && !socket_) return Nothing{};
  if (auto ready = prepare(); !ready) return ready;
  Batch batch;
  std::vector<Element> added, removed;
  auto remove = [&](int family, Element element) {
    batch.in_table(family, table_);
    batch.remove(element.first, element.second);
    removed.push_back(std::move(element));
  };
  for (const PortRule& port : change.ports)
    if (add)
      leaving_.erase(port.name);
    else if (elements_.contains({PORTS, device_bytes(port.name)}))
      leaving_.insert(port.name);
  for (const Entry& entry : entries_of(change)) {
    Element element = {entry.set, entry.key};
    if (elements_.contains(element) == add || (!add && std::string_view(entry.set) == PORTS)) continue;
    if (!add) {
      remove(entry.family, std::move(element));
      continue;
    }
    batch.in_table(entry.family, table_);
    batch.add(entry.set, entry.key, entry.data);
    added.push_back(std::move(element));
  }
  // Not with what is added: the kernel lets who removes wait for what was removed just before.
  std::vector<std::string> gone;
  for (const std::string& name : leaving_)
    if (!add && is_gone(name)) gone.push_back(name);
  for (const std::string& name : gone) remove(NFPROTO_BRIDGE, {PORTS, device_bytes(name)});
  if (!batch.empty()) {
    if (auto done = socket_->talk(batch.finish(), STAGE); !done) return done;
    for (Element& element : added) elements_.insert(std::move(element));
    for (const Element& element : removed) elements_.erase(element);
    for (const std::string& name : gone) leaving_.erase(name);
  }
  if (!leaving_.empty() && !std::exchange(sweeping_, true)) sweep_later();
  return Nothing{};
}

void Firewall::sweep_later() {
  Supervisor::traffic().post([this] {
    Supervisor::traffic().at(Supervisor::Clock::now() + SWEEP, [this] {
      Threads::quick().post([this] {
        {
          std::lock_guard lock(mutex_);
          sweeping_ = false;
        }
        (void)change({}, false);
      });
    });
  });
}

Result<> Firewall::add(const FirewallChange& what) { return change(what, true); }
Result<> Firewall::remove(const FirewallChange& what) { return change(what, false); }

Result<std::vector<std::string>> dropping_chains(Sockets& sockets) {
  auto socket = sockets.netlink(NETLINK_NETFILTER);
  if (!socket) return socket.failure();
  Messages request;
  nfgenmsg info = {AF_UNSPEC, NFNETLINK_V0, 0};
  request.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, NLM_F_DUMP, info, "chains");
  request.end();
  std::vector<std::string> found;
  auto number = [](std::string_view value) {
    uint32_t bytes = 0;
    memcpy(&bytes, value.data(), std::min(value.size(), sizeof bytes));
    return ntohl(bytes);
  };
  auto done = socket->ask(request, STAGE, [&](const nlmsghdr* head) {
    if (head->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN)) return;
    std::string table, name;
    uint32_t hook = ~0u, policy = NF_ACCEPT;
    const auto* generic = static_cast<const nfgenmsg*>(NLMSG_DATA(head));
    each_attribute(generic + 1, head->nlmsg_len - NLMSG_LENGTH(sizeof *generic),
                   [&](const nlattr* attribute, std::string_view value) {
                     if (attribute->nla_type == NFTA_CHAIN_TABLE) table = value.substr(0, value.find('\0'));
                     if (attribute->nla_type == NFTA_CHAIN_NAME) name = value.substr(0, value.find('\0'));
                     if (attribute->nla_type == NFTA_CHAIN_POLICY) policy = number(value);
                     if (attribute->nla_type == NFTA_CHAIN_HOOK)
                       each_attribute(value.data(), value.size(), [&](const nlattr* inner, std::string_view text) {
                         if (inner->nla_type == NFTA_HOOK_HOOKNUM) hook = number(text);
                       });
                   });
    int family = generic->nfgen_family;
    bool routes = family == NFPROTO_IPV4 || family == NFPROTO_INET;
    if (routes && hook == NF_INET_FORWARD && policy == NF_DROP)
      found.push_back((family == NFPROTO_INET ? "inet " : "ip ") + table + " " + name);
  });
  if (!done) return done.failure();
  return found;
}

}  // namespace caisson
