#include "core/agent.h"

#include <sys/socket.h>

#include <cstddef>
#include <cstring>

#include "core/message.h"

namespace caisson {

Agent::Agent(Fd socket) : socket_(std::move(socket)) {}

Result<AgentAnswer> Agent::call(agent_op op, const std::array<uint64_t, 3>& number, const std::string& first,
                                const std::string& second, int along) {
  agent_request request = {};
  if (first.size() >= AGENT_PATH_MAX || second.size() >= AGENT_PATH_MAX)
    return failed("files", "openat2", first, ENAMETOOLONG);
  request.op = op;
  request.lengths[0] = static_cast<uint32_t>(first.size());
  request.lengths[1] = static_cast<uint32_t>(second.size());
  for (size_t i = 0; i < number.size(); i++) request.number[i] = number[i];
  memcpy(request.text, first.c_str(), first.size() + 1);
  memcpy(request.text + first.size() + 1, second.c_str(), second.size() + 1);
  size_t size = offsetof(agent_request, text) + first.size() + second.size() + 2;

  std::lock_guard lock(mutex_);
  if (!send_packet(socket_.get(), &request, size, along < 0 ? std::vector<int>{} : std::vector<int>{along}))
    return failed("files", "sendmsg", first, ECONNRESET);
  agent_reply reply = {};
  std::vector<Fd> fds;
  ssize_t got = receive_packet(socket_.get(), &reply, sizeof reply, &fds, 0);
  constexpr size_t HEAD = offsetof(agent_reply, text);
  if (got < static_cast<ssize_t>(HEAD) || reply.length > static_cast<size_t>(got) - HEAD)
    return failed("files", "recvmsg", first, ECONNRESET);
  if (reply.error) return failed("files", "", first, reply.error);
  AgentAnswer answer;
  if (!fds.empty()) answer.fd = std::move(fds[0]);
  for (size_t i = 0; i < answer.number.size(); i++) answer.number[i] = reply.number[i];
  answer.text.assign(reply.text, reply.length);
  return answer;
}

void Agent::close() { shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace caisson
