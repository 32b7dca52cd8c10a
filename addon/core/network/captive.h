// A network namespace that leads nowhere but to us: every address is local, and every TCP connection ends at a listening
// socket of ours, which says where it was to go (getsockname(2)). Nothing here decides what is allowed, and no packet
// leaves: whoever changes these rules from inside only cuts itself off.
#pragma once

#include <vector>

#include "core/fd.h"
#include "core/network/link.h"
#include "core/result.h"

namespace caisson {

// Made inside (init/sockets.c); we may use them from outside. Empty ones of IPv6: the kernel has none.
struct CaptiveSockets {
  Fd routes, rules;  // netlink; closed when all is set
  int names_udp = -1, names_tcp = -1;
  int streams4 = -1, streams6 = -1;
};

// Destinations by network and ports, both ends included.
struct OpenTo {
  Address network;
  uint16_t first = 0, last = 0;
};

struct CaptiveSettings {
  // What the container's own address is.
  Address own4, own6;
  // Connections to elsewhere are refused before they reach us, so that connect(2) says so; unless `all` reach us.
  bool all = true;
  std::vector<OpenTo> open;
};

// Gives whether IPv6 is captured too. Sockets listen afterwards.
Result<int> set_up_captive(CaptiveSockets sockets, const CaptiveSettings& settings);

}  // namespace caisson
