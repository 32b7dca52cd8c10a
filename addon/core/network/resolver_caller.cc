#include "core/network/resolver_caller.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <optional>

#include "core/network/dns_message.h"

namespace caisson {

namespace {

constexpr auto CONNECTION_LIMIT = std::chrono::seconds(20);
// Of one connection, that its client has not read yet; with more nothing is read of it.
constexpr size_t ANSWERS_MAX = 64 << 10;
// Rounds of reading and answering, until the others have had their turn.
constexpr int ROUNDS = 4;

Supervisor& loop() { return Supervisor::traffic(); }

bool read_from(const Fd& fd, std::string* into, size_t limit, bool* ended) {
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

bool write_to(const Fd& fd, std::string* from) {
  while (!from->empty()) {
    ssize_t n = send(fd.get(), from->data(), from->size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    from->erase(0, static_cast<size_t>(n));
  }
  return true;
}

// The message whose length stands at `at`, which then is behind it; nothing while it is not whole.
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

}  // namespace

Caller::Caller(Answering* server, Fd fd) : server_(server), client_(std::move(fd)) {
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
  const auto& servers = server_->servers();
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
    if (!ended_ && !read_from(client_, &in_, DNS_MESSAGE_MAX + 2, &ended_)) return close();
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
  else if (connected && (!write_to(upstream_, &asking_) || !read_from(upstream_, &answer_, DNS_MESSAGE_MAX + 2, &gone)))
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

}  // namespace caisson
