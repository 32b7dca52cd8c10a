#include "core/network/netlink.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

namespace caisson {

namespace {

constexpr size_t ANSWER = 64 << 10;
// The kernel answers at once; whoever waits longer would wait for ever.
constexpr timeval PATIENCE = {20, 0};

}  // namespace

void Messages::begin(uint16_t type, uint16_t flags, const void* header, size_t size, std::string what) {
  start_ = bytes_.size();
  nlmsghdr head = {};
  head.nlmsg_type = type;
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  head.nlmsg_seq = static_cast<uint32_t>(what_.size() + 1);
  what_.push_back(std::move(what));
  raw(&head, sizeof head);
  raw(header, size);
}

void Messages::end() {
  auto length = static_cast<uint32_t>(bytes_.size() - start_);
  memcpy(bytes_.data() + start_, &length, sizeof length);
}

void Messages::raw(const void* data, size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.append(NLMSG_ALIGN(size) - size, '\0');
}

void Messages::put(uint16_t type, const void* data, size_t size) {
  nlattr head = {static_cast<uint16_t>(NLA_HDRLEN + size), type};
  bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
  raw(data, size);
}

void Messages::put32be(uint16_t type, uint32_t value) { put32(type, htonl(value)); }

size_t Messages::open(uint16_t type) {
  size_t at = bytes_.size();
  put(static_cast<uint16_t>(type | NLA_F_NESTED), "", 0);
  return at;
}

void Messages::close(size_t at) {
  auto length = static_cast<uint16_t>(bytes_.size() - at);
  memcpy(bytes_.data() + at, &length, sizeof length);
}

Result<Netlink> Netlink::adopt(Fd fd) {
  int on = 1, room = 4 << 20;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof PATIENCE);
  // Batches for many containers are larger than what a socket may usually send at once.
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return failed("network", "bind", "netlink");
  return Netlink(std::move(fd));
}

Result<> Netlink::send(const Messages& messages, const std::string& stage) {
  const std::string& bytes = messages.bytes();
  // Numbers begin anew each time: late answers to what failed before are not for these.
  char rest[256];
  while (recv(fd_.get(), rest, sizeof rest, MSG_DONTWAIT | MSG_TRUNC) >= 0) continue;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  if (sent != static_cast<ssize_t>(bytes.size())) return failed(stage, "sendto", "netlink");
  return Nothing{};
}

namespace {

// What the kernel says beside the number (NLMSGERR_ATTR_MSG).
std::string explanation(const nlmsghdr* head) {
  std::string text;
  if (!(head->nlmsg_flags & NLM_F_ACK_TLVS)) return text;
  const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
  size_t skip = sizeof *error;
  if (!(head->nlmsg_flags & NLM_F_CAPPED)) skip += error->msg.nlmsg_len - sizeof(nlmsghdr);
  size_t size = head->nlmsg_len - NLMSG_HDRLEN;
  if (skip > size) return text;
  each_attribute(reinterpret_cast<const char*>(error) + NLMSG_ALIGN(skip), size - skip,
                 [&](const nlattr* attribute, std::string_view value) {
                   if (attribute->nla_type == NLMSGERR_ATTR_MSG) text = std::string(value.substr(0, value.find('\0')));
                 });
  return text;
}

Failure answer_failure(const Messages& messages, const nlmsghdr* head, const std::string& stage) {
  const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
  std::string what = head->nlmsg_seq - 1 < messages.count() ? messages.what(head->nlmsg_seq - 1) : "netlink";
  std::string more = explanation(head);
  return failed(stage, "netlink", more.empty() ? what : what + ": " + more, -error->error);
}

// From the bottom up: the last message that is answered.
uint32_t last_asked(const std::string& bytes) {
  uint32_t last = 0;
  for (size_t at = 0; at + sizeof(nlmsghdr) <= bytes.size();) {
    nlmsghdr head;
    memcpy(&head, bytes.data() + at, sizeof head);
    if (head.nlmsg_flags & NLM_F_ACK) last = head.nlmsg_seq;
    at += NLMSG_ALIGN(std::max<size_t>(head.nlmsg_len, sizeof head));
  }
  return last;
}

}  // namespace

Result<> Netlink::talk(const Messages& messages, const std::string& stage) {
  if (messages.count() == 0) return Nothing{};
  if (auto sent = send(messages, stage); !sent) return sent;
  uint32_t last = last_asked(messages.bytes());
  std::vector<char> buffer(ANSWER);
  std::optional<Failure> first;
  for (;;) {
    ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return first ? *first : failed(stage, "recv", messages.what(0));
    auto left = static_cast<size_t>(n);
    for (auto* head = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(head, left);
         head = NLMSG_NEXT(head, left)) {
      if (head->nlmsg_type != NLMSG_ERROR || head->nlmsg_seq == 0 || head->nlmsg_seq > messages.count()) continue;
      const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
      if (error->error != 0 && !first) first = answer_failure(messages, head, stage);
      // Of a batch (nf_tables) that is refused as a whole, only the beginning is answered.
      if (head->nlmsg_seq == last || (error->error != 0 && head->nlmsg_seq == 1)) {
        if (first) return *first;
        return Nothing{};
      }
    }
  }
}

Result<> Netlink::ask(const Messages& request, const std::string& stage,
                      const std::function<void(const nlmsghdr*)>& each) {
  if (auto sent = send(request, stage); !sent) return sent;
  std::vector<char> buffer(ANSWER);
  for (;;) {
    ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(stage, "recv", request.what(0));
    auto left = static_cast<size_t>(n);
    for (auto* head = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(head, left);
         head = NLMSG_NEXT(head, left)) {
      if (head->nlmsg_seq != 1) continue;
      if (head->nlmsg_type == NLMSG_DONE) return Nothing{};
      if (head->nlmsg_type == NLMSG_ERROR) {
        const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
        if (error->error == 0) return Nothing{};
        return answer_failure(request, head, stage);
      }
      each(head);
      if (!(head->nlmsg_flags & NLM_F_MULTI)) return Nothing{};
    }
  }
}

void each_attribute(const void* data, size_t size, const std::function<void(const nlattr*, std::string_view)>& each) {
  const char* at = static_cast<const char*>(data);
  while (size >= NLA_HDRLEN) {
    nlattr head;
    memcpy(&head, at, sizeof head);
    if (head.nla_len < NLA_HDRLEN || head.nla_len > size) return;
    head.nla_type &= NLA_TYPE_MASK;
    each(&head, std::string_view(at + NLA_HDRLEN, head.nla_len - NLA_HDRLEN));
    size_t step = std::min<size_t>(NLA_ALIGN(head.nla_len), size);
    at += step;
    size -= step;
  }
}

}  // namespace caisson
