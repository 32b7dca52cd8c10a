// A client that asks the name server by TCP: questions one after the other, each behind its length (RFC 7766).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/network/endpoint_socket.h"
#include "core/supervisor.h"

namespace caisson {

class Caller;

// The name server, for those that bring it questions.
class Answering {
 public:
  virtual ~Answering() = default;
  // false: it has to be passed on. An empty answer: none.
  virtual bool own_answer(std::string_view query, std::string* answer) = 0;
  // To whom it is passed on.
  virtual const std::vector<SocketAddress>& servers() const = 0;
  // Ends the caller.
  virtual void done(Caller* caller) = 0;
};

class Caller final : public Supervisor::Source {
 public:
  Caller(Answering* server, Fd fd);
  ~Caller();
  void ready(uint32_t) override;

 private:
  void work();
  bool pass_on();
  void next_question();
  bool call_server();
  void close();

  Answering* server_;
  Fd client_, upstream_;
  std::string in_, out_, query_, asking_, answer_;
  size_t next_ = 0;
  bool ended_ = false;
  Supervisor::Timer timer_, turn_;
};

}  // namespace caisson
