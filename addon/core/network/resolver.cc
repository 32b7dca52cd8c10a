#include "core/network/resolver.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <list>
#include <optional>
#include <set>

#include "core/network/dns_message.h"
#include "core/supervisor.h"

namespace caisson {

namespace {

using std::chrono::seconds;

// Of one container; whoever asks more at a time has to ask again.
constexpr size_t PENDING_MAX = 256, CONNECTIONS_MAX = 64;
constexpr auto ANSWER_LIMIT = seconds(4), CONNECTION_LIMIT = seconds(20);
constexpr int TURN = 64;
// Who asks again that soon after an answer most likely asks once more: for another kind, or the next name of a search.
constexpr auto BURST = std::chrono::microseconds(200), NEXT_QUESTION = std::chrono::microseconds(50);
constexpr size_t MESSAGE_MAX = 65535;
// Of one connection, that its client has not read yet; with more nothing is read of it.
constexpr size_t ANSWERS_MAX = 64 << 10;
// Rounds of reading and answering, until the others have had their turn.
constexpr int ROUNDS = 4;
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

// One connection of a client by TCP: questions one after the other, each behind its length (RFC 7766).
class Caller final : public Supervisor::Source {
 public:
  Caller(Server* server, Fd fd);
  ~Caller();
  void ready(uint32_t) override;

 private:
  void work();
  bool pass_on();
  bool read_from(const Fd& fd, std::string* into, size_t limit, bool* ended);
  bool write_to(const Fd& fd, std::string* from);
  void next_question();
  bool call_server();
  void close();

  Server* server_;
  Fd client_, upstream_;
  std::string in_, out_, query_, asking_, answer_;
  size_t next_ = 0;
  bool ended_ = false;
  Supervisor::Timer timer_, turn_;
};

class Server final : public Resolver, public Supervisor::Source {
 public:
  Server(ResolverSockets sockets, ResolverSettings settings) : sockets_(std::move(sockets)), listener_(this), settings(std::move(settings)) {}

  void begin() {
    loop().add(sockets_.udp.get(), EPOLLIN, this);
    loop().add(sockets_.tcp.get(), EPOLLIN, &listener_);
  }

  void change(ResolverSettings changed) override {
    auto self = self_.lock();
    loop().post([self, changed = std::move(changed)]() mutable { self->settings = std::move(changed); });
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

  // false: it has to be passed on. An empty answer: none.
  bool own_answer(std::string_view query, std::string* answer) {
    auto question = parse_query(query);
    if (!question) return true;
    std::vector<Address> found;
    bool internet = question->kind == DNS_IN || question->kind == DNS_ANY;
    if (query[2] & 0x78)
      *answer = answer_code(query, *question, DNS_NOT_IMPLEMENTED);
    else if (internet && look_up(settings, question->name, &found))
      *answer = answer_addresses(query, *question, found);
    else if (auto names = internet && question->type == DNS_PTR ? look_up_address(settings, question->name) : std::vector<std::string>();
             !names.empty())
      *answer = answer_names(query, *question, names);
    else if (settings.servers.empty() || is_ours(question->name))
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

  void done(Caller* caller) {
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
  Listener listener_;
  Supervisor::Clock::time_point answered_;
  std::list<std::unique_ptr<Passed>> passed_;
  std::list<std::unique_ptr<Caller>> callers_;

 public:
  ResolverSettings settings;
  std::weak_ptr<Server> self_;
};

// The next server, after a failure or when nothing comes; after the last one the client is told.
bool Passed::ask() {
  const auto& servers = server_->settings.servers;
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
  static thread_local char buffer[MESSAGE_MAX];
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

Caller::Caller(Server* server, Fd fd) : server_(server), client_(std::move(fd)) {
  loop().add(client_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this);
  timer_ = loop().at(Supervisor::Clock::now() + CONNECTION_LIMIT, [this] {
    timer_ = {};
    close();
  });
}

Caller::~Caller() {
  for (const Fd* fd : {&client_, &upstream_})
    if (*fd) loop().remove(fd->get(), this);
  loop().cancel(timer_);
  loop().cancel(turn_);
}

void Caller::close() { server_->done(this); }

bool Caller::read_from(const Fd& fd, std::string* into, size_t limit, bool* ended) {
  char buffer[8192];
  while (into->size() < limit) {
    ssize_t n = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) {
      into->append(buffer, static_cast<size_t>(n));
    } else {
      *ended = n == 0;
      return n == 0 || errno == EAGAIN || errno == EINTR;
    }
  }
  return true;
}

bool Caller::write_to(const Fd& fd, std::string* from) {
  while (!from->empty()) {
    ssize_t n = send(fd.get(), from->data(), from->size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    from->erase(0, static_cast<size_t>(n));
  }
  return true;
}

// The message at `at`, behind its length, and what lies behind it; nothing while it is not whole.
std::optional<std::string> take_message(const std::string& bytes, size_t* at) {
  if (bytes.size() - *at < 2) return std::nullopt;
  size_t length = static_cast<uint8_t>(bytes[*at]) << 8 | static_cast<uint8_t>(bytes[*at + 1]);
  if (bytes.size() - *at < length + 2) return std::nullopt;
  std::string message = bytes.substr(*at + 2, length);
  *at += length + 2;
  return message;
}

std::string with_length(const std::string& message) {
  std::string whole = {static_cast<char>(message.size() >> 8), static_cast<char>(message.size())};
  return whole + message;
}

void Caller::next_question() {
  size_t at = 0;
  while (query_.empty() && out_.size() < ANSWERS_MAX) {
    auto query = take_message(in_, &at);
    if (!query) break;
    std::string answer;
    if (server_->own_answer(*query, &answer)) {
      // Not a question: nothing that comes behind it can be trusted to be one.
      if (answer.empty()) ended_ = true, at = in_.size();
      else out_ += with_length(answer);
      continue;
    }
    query_ = std::move(*query);
    next_ = 0;
    if (!call_server()) ended_ = true, query_.clear();
  }
  in_.erase(0, at);
}

bool Caller::call_server() {
  const auto& servers = server_->settings.servers;
  if (upstream_) loop().remove(upstream_.get(), this);
  upstream_.reset();
  answer_.clear();
  while (next_ < servers.size()) {
    const SocketAddress& to = servers[next_++];
    upstream_.reset(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!upstream_) continue;
    if (connect(upstream_.get(), to.get(), to.size) < 0 && errno != EINPROGRESS) continue;
    asking_ = with_length(query_);
    if (loop().add(upstream_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this)) return true;
  }
  upstream_.reset();
  return false;
}

void Caller::ready(uint32_t) { work(); }

void Caller::work() {
  for (int round = 0; round < ROUNDS; round++) {
    if (!ended_ && !read_from(client_, &in_, MESSAGE_MAX + 2, &ended_)) return close();
    if (upstream_ && !pass_on()) return close();
    const size_t held = in_.size();
    next_question();
    const bool moved = in_.size() != held || !out_.empty();
    if (!write_to(client_, &out_)) return close();
    // With answers waiting, or a question out, an event says when to go on; else there may be more to read.
    if (!moved || !out_.empty() || !query_.empty()) {
      if (ended_ && out_.empty() && query_.empty()) close();
      return;
    }
  }
  loop().cancel(turn_);
  turn_ = loop().at(Supervisor::Clock::now(), [this] {
    turn_ = {};
    work();
  });
}

// To the server that was called, and back. false: no server is left.
bool Caller::pass_on() {
  sockaddr_storage peer;
  socklen_t size = sizeof peer;
  int error = 0;
  socklen_t error_size = sizeof error;
  bool gone = false;
  getsockopt(upstream_.get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
  bool connected = getpeername(upstream_.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  if (error != 0) gone = true;
  else if (connected && (!write_to(upstream_, &asking_) || !read_from(upstream_, &answer_, MESSAGE_MAX + 2, &gone)))
    gone = true;
  size_t at = 0;
  auto answer = take_message(answer_, &at);
  if (!answer) return !gone || call_server();
  uint16_t id = parse_query(query_)->id;
  if (answers_query(*answer, query_, id)) out_ += with_length(*answer);
  query_.clear();
  loop().remove(upstream_.get(), this);
  upstream_.reset();
  return true;
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
