// Empty network namespaces, made ahead: making one is half the cost of a container.
#pragma once

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

// A new network namespace with its loopback up, and the defaults of containers set: anyone may bind low ports and send
// echo requests (net.ipv4.ip_unprivileged_port_start, ping_group_range). Nobody else has had it. Blocks for a moment
// when none is in stock. Needs CAP_SYS_ADMIN.
Result<Fd> take_network_namespace();

// Closes those in stock that nobody waits for. False: there were none. From any thread.
bool drop_network_namespaces();

// The same as take_network_namespace(), made now, by a thread that is in it afterwards.
Result<Fd> make_network_namespace();

}  // namespace caisson
