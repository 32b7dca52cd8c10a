#include "core/network/place.h"

#include <sys/socket.h>

#include <mutex>

#include "core/network/firewall.h"
#include "core/network/visitor.h"
#include "core/sys.h"

namespace caisson {

namespace {

class Host final : public Place {
 public:
  Result<Fd> socket(int domain, int type, int protocol) override {
    Fd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
    if (!fd) return failed("network", "socket");
    return fd;
  }

  Result<> setting(const std::string& path, const std::string& value) override {
    return sys::write_file(path, value) ? Result<>(Nothing{}) : failed("network", "write", path);
  }

  // The thread that works is in the namespace, and so is what it makes.
  Result<> visit(int netns, const std::function<Result<>(Sockets&)>& work) override {
    return caisson::visit(netns, [&] { return work(*this); });
  }

  void renew(std::shared_ptr<Agent>) override {}

  Firewall& firewall() override { return firewall_; }

 private:
  Firewall firewall_{*this};
};

// Requests to the agent, wherever it is just now.
class Asked final : public Sockets {
 public:
  explicit Asked(std::shared_ptr<Agent> agent) : agent_(std::move(agent)) {}

  Result<Fd> socket(int domain, int type, int protocol) override {
    const std::array<uint64_t, 3> numbers = {static_cast<uint64_t>(domain), static_cast<uint64_t>(type),
                                             static_cast<uint64_t>(protocol)};
    auto answer = call(AGENT_SOCKET, "socket", numbers);
    if (!answer) return answer.failure();
    return std::move(answer->fd);
  }

  Result<> setting(const std::string& path, const std::string& value) override {
    auto answer = call(AGENT_SETTING, "write", {}, path, value);
    if (!answer) return answer.failure();
    return Nothing{};
  }

  // -1: back home.
  Result<> go(int netns) {
    auto answer = call(AGENT_VISIT, "setns", {netns >= 0}, "", "", netns);
    if (!answer) return answer.failure();
    return Nothing{};
  }

  void end() { agent_->close(); }

 private:
  Result<AgentAnswer> call(agent_op op, const char* what, const std::array<uint64_t, 3>& numbers,
                           const std::string& first = "", const std::string& second = "", int along = -1) {
    auto answer = agent_->call(op, numbers, first, second, along);
    if (answer) return answer;
    Failure failure = answer.failure();
    failure.stage = "network";
    if (failure.syscall.empty()) failure.syscall = what;
    return failure;
  }

  std::shared_ptr<Agent> agent_;
};

class Beside final : public Place {
 public:
  explicit Beside(std::shared_ptr<Agent> agent) : agent_(std::move(agent)) {}

  Result<Fd> socket(int domain, int type, int protocol) override {
    std::lock_guard lock(mutex_);
    return agent_.socket(domain, type, protocol);
  }

  Result<> setting(const std::string& path, const std::string& value) override {
    std::lock_guard lock(mutex_);
    return agent_.setting(path, value);
  }

  Result<> visit(int netns, const std::function<Result<>(Sockets&)>& work) override {
    std::lock_guard lock(mutex_);
    if (auto there = agent_.go(netns); !there) return there;
    Result<> result = work(agent_);
    // Whoever asked next would get sockets of a container.
    if (!agent_.go(-1)) agent_.end();
    return result;
  }

  void renew(std::shared_ptr<Agent> agent) override {
    std::lock_guard lock(mutex_);
    agent_ = Asked(std::move(agent));
  }

  Firewall& firewall() override { return firewall_; }

 private:
  std::mutex mutex_;
  Asked agent_;
  Firewall firewall_{*this};
};

}  // namespace

Result<Netlink> Sockets::netlink(int protocol) {
  auto fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  if (!fd) return fd.failure();
  return Netlink::adopt(std::move(*fd));
}

Place& Place::host() {
  static auto* host = new Host();  // its tables live as long as the process
  return *host;
}

Place& Place::beside(std::shared_ptr<Agent> agent) { return *new Beside(std::move(agent)); }

}  // namespace caisson
