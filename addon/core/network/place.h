// Where networks are: for root in the namespace of this process. An ordinary user has no rights there; its bridges,
// rules and published connections are in a network namespace beside it, which belongs to its user namespace. No thread of
// ours can go there (setns(2)), but sockets can come from there: an agent (init/agent.h) makes them. What a socket may do
// is decided by who made it and by us, who own that user namespace.
#pragma once

#include <functional>
#include <memory>

#include "core/agent.h"
#include "core/fd.h"
#include "core/network/netlink.h"
#include "core/result.h"

namespace caisson {

class Firewall;

// Of one network namespace.
class Sockets {
 public:
  virtual ~Sockets() = default;
  virtual Result<Fd> socket(int domain, int type, int protocol = 0) = 0;
  // A file below /proc/sys that is the namespace's own.
  virtual Result<> setting(const std::string& path, const std::string& value) = 0;
  Result<Netlink> netlink(int protocol);
};

// On any thread.
class Place : public Sockets {
 public:
  static Place& host();
  // Lives as long as this process.
  static Place& beside(std::shared_ptr<Agent> agent);
  // Of a place beside us: the agent has ended, and this one is in the same namespace.
  virtual void renew(std::shared_ptr<Agent> agent) = 0;

  // Work inside another network namespace; others wait meanwhile.
  virtual Result<> visit(int netns, const std::function<Result<>(Sockets&)>& work) = 0;
  virtual Firewall& firewall() = 0;
};

}  // namespace caisson
