// The owner's side of an agent (init/agent.h).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>

#include "core/fd.h"
#include "core/result.h"
#include "init/agent.h"

namespace caisson {

struct AgentAnswer {
  Fd fd;
  std::array<uint64_t, AGENT_STAT_COUNT> number{};
  std::string text;
};

class Agent {
 public:
  // Takes over the control socket of an init program that waits in AGENT.
  explicit Agent(Fd socket);

  // Blocks until it answers; one request at a time. ECONNRESET when the agent has ended. `along`: a descriptor that it
  // gets a copy of, or -1.
  Result<AgentAnswer> call(agent_op op, const std::array<uint64_t, 3>& number, const std::string& first,
                           const std::string& second, int along = -1);

  // The agent ends; a call under way fails.
  void close();

 private:
  std::mutex mutex_;
  Fd socket_;
};

}  // namespace caisson
