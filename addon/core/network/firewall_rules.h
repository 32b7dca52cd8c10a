// The fixed part of our tables: chains, rules, and the empty sets that they look into.
#pragma once

#include <string>

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

}  // namespace caisson
