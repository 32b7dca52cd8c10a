#include "core/network/dns_message.h"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>

namespace caisson {

namespace {

constexpr size_t HEADER = 12, NAME_MAX_BYTES = 255, LABEL_MAX = 63;
constexpr uint8_t ANSWER = 0x80, OPCODE = 0x78, TRUNCATED = 0x02, RECURSION_DESIRED = 0x01;
constexpr uint8_t RECURSION_AVAILABLE = 0x80;
// Seconds: containers come and go.
constexpr uint32_t TTL = 5;

uint16_t read16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]));
}

void add16(std::string* bytes, uint32_t value) {
  bytes->push_back(static_cast<char>(value >> 8));
  bytes->push_back(static_cast<char>(value));
}

std::string begin_answer(std::string_view query, const Question& question, uint8_t code, size_t answers) {
  std::string message;
  add16(&message, question.id);
  message.push_back(static_cast<char>(ANSWER | (query[2] & (OPCODE | RECURSION_DESIRED))));
  message.push_back(static_cast<char>(RECURSION_AVAILABLE | code));
  add16(&message, 1);
  add16(&message, static_cast<uint32_t>(answers));
  add16(&message, 0);
  add16(&message, 0);
  message.append(query.substr(HEADER, question.end - HEADER));
  return message;
}

void add_record(std::string* message, uint16_t type, std::string_view data) {
  add16(message, 0xc000 | HEADER);  // the name of the question
  add16(message, type);
  add16(message, DNS_IN);
  add16(message, TTL >> 16);
  add16(message, TTL & 0xffff);
  add16(message, static_cast<uint32_t>(data.size()));
  message->append(data);
}

}  // namespace

std::optional<Question> parse_query(std::string_view message) {
  if (message.size() < HEADER + 5 || message.size() > DNS_QUERY_MAX) return std::nullopt;
  uint8_t flags = static_cast<uint8_t>(message[2]);
  if (flags & (ANSWER | TRUNCATED)) return std::nullopt;
  if (read16(message, 4) != 1 || read16(message, 6) != 0) return std::nullopt;
  Question question;
  question.id = read16(message, 0);
  size_t at = HEADER;
  for (;;) {
    if (at >= message.size()) return std::nullopt;
    size_t length = static_cast<uint8_t>(message[at++]);
    if (length == 0) break;
    if (length > LABEL_MAX || at + length > message.size()) return std::nullopt;
    if (at - HEADER + length > NAME_MAX_BYTES) return std::nullopt;
    if (!question.name.empty()) question.name.push_back('.');
    for (char letter : message.substr(at, length))
      question.name.push_back(letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter | 0x20) : letter);
    at += length;
  }
  if (at + 4 > message.size()) return std::nullopt;
  question.type = read16(message, at);
  question.kind = read16(message, at + 2);
  question.end = at + 4;
  return question;
}

std::string answer_addresses(std::string_view query, const Question& question, const std::vector<Address>& addresses) {
  std::vector<const Address*> asked;
  for (const Address& address : addresses) {
    uint16_t type = address.family == AF_INET ? DNS_A : DNS_AAAA;
    if (question.type == type || question.type == DNS_ANY) asked.push_back(&address);
  }
  // What the smallest client takes without asking again by TCP.
  constexpr size_t ANSWERS_MAX = 14;
  if (asked.size() > ANSWERS_MAX) asked.resize(ANSWERS_MAX);
  std::string message = begin_answer(query, question, DNS_NO_ERROR, asked.size());
  for (const Address* address : asked)
    add_record(&message, address->family == AF_INET ? DNS_A : DNS_AAAA, address->view());
  return message;
}

std::string answer_names(std::string_view query, const Question& question, const std::vector<std::string>& names) {
  std::string message = begin_answer(query, question, DNS_NO_ERROR, names.size());
  for (const std::string& name : names) {
    std::string labels;
    for (size_t at = 0; at < name.size();) {
      size_t end = std::min(name.find('.', at), name.size());
      labels.push_back(static_cast<char>(end - at));
      labels.append(name, at, end - at);
      at = end + 1;
    }
    labels.push_back('\0');
    add_record(&message, DNS_PTR, labels);
  }
  return message;
}

std::string answer_code(std::string_view query, const Question& question, uint8_t code) {
  return begin_answer(query, question, code, 0);
}

bool answers_query(std::string_view answer, std::string_view query, uint16_t id) {
  auto asked = parse_query(query);
  if (!asked || answer.size() < HEADER || read16(answer, 0) != id) return false;
  if (!(static_cast<uint8_t>(answer[2]) & ANSWER)) return false;
  // Some errors come without the question.
  if (read16(answer, 4) == 0) return (answer[3] & 0x0f) != DNS_NO_ERROR;
  if (answer.size() < asked->end) return false;
  auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b)); };
  return std::equal(query.begin() + HEADER, query.begin() + static_cast<ptrdiff_t>(asked->end), answer.begin() + HEADER, same);
}

void set_id(std::string* message, uint16_t id) {
  (*message)[0] = static_cast<char>(id >> 8);
  (*message)[1] = static_cast<char>(id);
}

}  // namespace caisson
