// Connects a container's network namespace with the bridges of its networks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/network/link.h"
#include "core/network/place.h"
#include "core/result.h"

namespace caisson {

struct Wire {
  Pair pair;
  std::vector<Address> addresses;
  // None: this is not the way to the rest of the world.
  std::vector<Address> gateways;
};

// A name server for one container, on 127.0.0.11.
struct ResolverSockets {
  Fd udp, tcp;
};

// The rules first, so that the port is never without; then the devices. All of it or nothing, but for what goes with
// the namespace. `sockets`: make them too.
Result<> wire(Place& place, int netns, const std::vector<Wire>& wires, ResolverSockets* sockets);
// For a namespace that lives on; one that ends takes its devices along.
Result<> unwire(Place& place, const std::vector<std::string>& names);

}  // namespace caisson
