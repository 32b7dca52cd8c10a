// Netlink (netlink(7)): messages are composed here, many of them are sent at once, and each is answered.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

// Messages one behind the other, as they are sent.
class Messages {
 public:
  // `what` is for the failure record: what this message is about. `header` follows the netlink header.
  template <typename Header>
  void begin(uint16_t type, uint16_t flags, const Header& header, std::string what) {
    begin(type, flags, &header, sizeof header, std::move(what));
  }
  void end();

  void put(uint16_t type, const void* data, size_t size);
  void put(uint16_t type, std::string_view bytes) { put(type, bytes.data(), bytes.size()); }
  void put8(uint16_t type, uint8_t value) { put(type, &value, sizeof value); }
  void put32(uint16_t type, uint32_t value) { put(type, &value, sizeof value); }
  // Big-endian, as nf_tables wants its numbers.
  void put32be(uint16_t type, uint32_t value);
  // With its NUL.
  void text(uint16_t type, const std::string& value) { put(type, value.c_str(), value.size() + 1); }
  // Attributes that hold attributes: what is put until close() is inside.
  size_t open(uint16_t type);
  void close(size_t at);
  // Attributes that were composed elsewhere.
  void append(const std::string& attributes) { bytes_ += attributes; }
  // A structure that stands before attributes inside an attribute.
  void raw(const void* data, size_t size);

  const std::string& bytes() const { return bytes_; }
  size_t count() const { return what_.size(); }
  const std::string& what(size_t index) const { return what_[index]; }

 private:
  void begin(uint16_t type, uint16_t flags, const void* header, size_t size, std::string what);

  std::string bytes_;
  std::vector<std::string> what_;
  size_t start_ = 0;
};

// A socket of one protocol. It belongs for ever to the network namespace that it was made in (place.h).
class Netlink {
 public:
  static Result<Netlink> adopt(Fd fd);

  // Sends them all and waits for the answer of the last that asks for one (NLM_F_ACK); the first error is the result.
  Result<> talk(const Messages& messages, const std::string& stage);
  // Sends one request and gives each message of its answer, of a dump or a single one.
  Result<> ask(const Messages& request, const std::string& stage, const std::function<void(const nlmsghdr*)>& each);

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  Result<> send(const Messages& messages, const std::string& stage);

  Fd fd_;
};

// The attributes of a message or of an attribute, `size` bytes from `data` on.
void each_attribute(const void* data, size_t size, const std::function<void(const nlattr*, std::string_view)>& each);

}  // namespace caisson
