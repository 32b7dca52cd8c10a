// The fixed part of our tables: chains, rules, and the empty sets that they look into.
#pragma once

#include <string>

#include "core/network/link.h"
#include "core/network/nft.h"

namespace caisson {

namespace set_names {
inline constexpr char BRIDGES[] = "bridges", OUTWARD[] = "outward", WITHIN[] = "within", MEMBERS4[] = "members4", MEMBERS6[] = "members6", METADATA[] = "metadata";
inline constexpr char OPENED[] = "opened";
inline constexpr char PUBLISHED4[] = "published4", PUBLISHED6[] = "published6";
inline constexpr char ANYWHERE4[] = "anywhere4", ANYWHERE6[] = "anywhere6";
inline constexpr char PORTS[] = "ports", MACS[] = "macs", ADDRESSES4[] = "addresses4", ADDRESSES6[] = "addresses6";
}  // namespace set_names

void write_routing_table(Batch& batch, const std::string& name);
void write_guarding_table(Batch& batch, const std::string& name);
// In a container: the name server's port, which a server of the container's own may want, leads to ports of ours.
void write_resolver_table(Batch& batch, const Address& address, uint16_t port, uint16_t udp, uint16_t tcp);

}  // namespace caisson
