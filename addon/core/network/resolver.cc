#include "core/network/resolver.h"

#include <sys/epoll.h>
#include <sys/random.h>

#include <list>

#include "core/network/dns_message.h"
#include "core/network/resolver_caller.h"
#include "core/supervisor.h"

namespace caisson {

namespace {

// Of one container; whoever asks more at a time has to ask again.
constexpr size_t PENDING_MAX = 256, CONNECTIONS_MAX = 64;
constexpr auto ANSWER_LIMIT = std::chrono::seconds(4);
constexpr int TURN = 64;
// Who asks again that soon after an answer most likely asks once more: for another kind, or the next name of a search.
constexpr auto BURST = std::chrono::microseconds(200), NEXT_QUESTION = std::chrono::microseconds(50);
// Names below it are ours alone.
constexpr std::string_view OWN_DOMAIN = "caisson.internal";

Supervisor& loop() { return Supervisor::traffic(); }

uint16_t random_id() {
  uint16_t id = 0;
  (void)!getrandom(&id, sizeof id, 0);
  return id;
}

bool is_ours(const std::string& name) {
  if (name.size() < OWN_DOMAIN.size() || name.compare(name.size() - OWN_DOMAIN.size(), std::string::npos, OWN_DOMAIN) != 0)
    return false;
  return name.size() == OWN_DOMAIN.size() || name[name.size() - OWN_DOMAIN.size() - 1] == '.';
}

class Server;

// One question that was passed on by UDP, from a socket of its own: its port and number are hard to guess.
class Passed final : public Supervisor::Source {
 public:
  Passed(Server* server, SocketAddress client, std::string query) : server_(server), client_(client), query_(std::move(query)) {}
  ~Passed() { forget(); }
  bool ask();
  void ready(uint32_t) override;

 private:
  void forget() {
    if (fd_) loop().remove(fd_.get(), this);
    fd_.reset();
    if (timed_) loop().cancel(timer_);
    timed_ = false;
  }

  Server* server_;
  SocketAddress client_;
  std::string query_;
  Fd fd_;
  uint16_t id_ = 0;
  size_t next_ = 0;
  bool timed_ = false;
  Supervisor::Timer timer_;
};

class Server final : public Resolver, public Answering, public Supervisor::Source {
 public:
  Server(ResolverSockets sockets, ResolverSettings settings) : sockets_(std::move(sockets)), settings_(std::move(settings)), listener_(this) {}

  void begin() {
    loop().add(sockets_.udp.get(), EPOLLIN, this);
    loop().add(sockets_.tcp.get(), EPOLLIN, &listener_);
  }

  void change(ResolverSettings changed) override {
    auto self = self_.lock();
    loop().post([self, changed = std::move(changed)]() mutable { self->settings_ = std::move(changed); });
  }

  void end() override {
    auto self = self_.lock();
    loop().post([self] { self->stop(); });
  }

  void stop() {
    if (!sockets_.udp) return;
    loop().remove(sockets_.udp.get(), this);
    loop().remove(sockets_.tcp.get(), &listener_);
    sockets_ = {};
    passed_.clear();
    callers_.clear();
  }

  void ready(uint32_t) override {
    char buffer[DNS_QUERY_MAX + 1];
    for (int i = 0; i < TURN && sockets_.udp; i++) {
      SocketAddress client;
      ssize_t n = recvfrom(sockets_.udp.get(), buffer, sizeof buffer, MSG_DONTWAIT, client.get(), &client.size);
      if (n < 0) return;
      std::string query(buffer, static_cast<size_t>(n));
      std::string answer;
      if (own_answer(query, &answer)) {
        if (!answer.empty()) reply(client, answer);
        auto now = Supervisor::Clock::now();
        if (now - answered_ < BURST) loop().stay_awake(NEXT_QUESTION);
        answered_ = now;
        continue;
      }
      if (passed_.size() >= PENDING_MAX) continue;
      passed_.push_back(std::make_unique<Passed>(this, client, std::move(query)));
      if (!passed_.back()->ask()) passed_.pop_back();
    }
  }

  bool own_answer(std::string_view query, std::string* answer) override {
    auto question = parse_query(query);
    if (!question) return true;
    std::vector<Address> found;
    bool internet = question->kind == DNS_IN || question->kind == DNS_ANY;
    if (query[2] & 0x78)
      *answer = answer_code(query, *question, DNS_NOT_IMPLEMENTED);
    else if (internet && look_up(settings_, question->name, &found))
      *answer = answer_addresses(query, *question, found);
    else if (auto names = internet && question->type == DNS_PTR ? look_up_address(settings_, question->name) : std::vector<std::string>();
             !names.empty())
      *answer = answer_names(query, *question, names);
    else if (settings_.servers.empty() || is_ours(question->name))
      *answer = answer_code(query, *question, DNS_NO_SUCH_NAME);
    else
      return false;
    return true;
  }

  void reply(const SocketAddress& client, const std::string& answer) {
    if (sockets_.udp) (void)!sendto(sockets_.udp.get(), answer.data(), answer.size(), MSG_DONTWAIT, client.get(), client.size);
  }

  void done(Passed* passed) {
    passed_.remove_if([passed](const auto& each) { return each.get() == passed; });
  }

  const std::vector<SocketAddress>& servers() const override { return settings_.servers; }

  void done(Caller* caller) override {
    callers_.remove_if([caller](const auto& each) { return each.get() == caller; });
  }

 private:
  struct Listener final : Supervisor::Source {
    explicit Listener(Server* server) : server(server) {}
    void ready(uint32_t) override { server->accept_callers(); }
    Server* server;
  };

  void accept_callers() {
    for (int i = 0; i < TURN; i++) {
      Fd client(accept4(sockets_.tcp.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client) return;
      // One more than may be takes the place of the oldest.
      if (callers_.size() >= CONNECTIONS_MAX) callers_.pop_front();
      callers_.push_back(std::make_unique<Caller>(this, std::move(client)));
    }
  }

  ResolverSockets sockets_;
  ResolverSettings settings_;
  Listener listener_;
  Supervisor::Clock::time_point answered_;
  std::list<std::unique_ptr<Passed>> passed_;
  std::list<std::unique_ptr<Caller>> callers_;

 public:
  std::weak_ptr<Server> self_;
};

// The next server, after a failure or when nothing comes; after the last one the client is told.
bool Passed::ask() {
  const auto& servers = server_->servers();
  for (;;) {
    forget();
    if (next_ >= servers.size()) {
      if (auto question = parse_query(query_)) server_->reply(client_, answer_code(query_, *question, DNS_SERVER_FAILURE));
      return false;
    }
    const SocketAddress& to = servers[next_++];
    fd_.reset(socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_ || connect(fd_.get(), to.get(), to.size) < 0) {
      fd_.reset();
      continue;
    }
    std::string message = query_;
    set_id(&message, id_ = random_id());
    if (send(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0 || !loop().add(fd_.get(), EPOLLIN, this)) {
      fd_.reset();
      continue;
    }
    timer_ = loop().at(Supervisor::Clock::now() + ANSWER_LIMIT, [this] {
      timed_ = false;
      if (!ask()) server_->done(this);
    });
    timed_ = true;
    return true;
  }
}

void Passed::ready(uint32_t) {
  static thread_local char buffer[DNS_MESSAGE_MAX];
  ssize_t n = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) {
    if (!ask()) server_->done(this);
    return;
  }
  std::string answer(buffer, static_cast<size_t>(n));
  if (!answers_query(answer, query_, id_)) return;
  set_id(&answer, parse_query(query_)->id);
  server_->reply(client_, answer);
  server_->done(this);
}

}  // namespace

std::shared_ptr<Resolver> Resolver::start(ResolverSockets sockets, ResolverSettings settings) {
  auto server = std::make_shared<Server>(std::move(sockets), std::move(settings));
  server->self_ = server;
  // It is there until it is ended, whoever forgets it.
  loop().post([server] { server->begin(); });
  return server;
}

}  // namespace caisson
