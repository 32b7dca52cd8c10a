// The name server of one container, on 127.0.0.11 in its network namespace. It knows who is on the container's networks
// (lib/network/names.ts), and asks the host's servers about the rest, from the host.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/network/endpoint_socket.h"
#include "core/network/wiring.h"

namespace caisson {

struct ResolverSettings {
  // Directories of names, one for each network.
  std::vector<std::string> networks;
  std::map<std::string, std::vector<Address>> hosts;
  // None: what is not known does not exist.
  std::vector<SocketAddress> servers;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // From any thread.
  static std::shared_ptr<Resolver> start(ResolverSockets sockets, ResolverSettings settings);
  virtual void change(ResolverSettings settings) = 0;
  virtual void end() = 0;
};

// Addresses of a name, in random order; `found` without any: it has none of the kind. Reads the directories.
bool look_up(const ResolverSettings& settings, const std::string& name, std::vector<Address>* found);
// Names of an address that is asked for as "4.3.2.1.in-addr.arpa" or below ip6.arpa.
std::vector<std::string> look_up_address(const ResolverSettings& settings, const std::string& name);

}  // namespace caisson
