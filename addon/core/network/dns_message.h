// Messages of the domain name system (RFC 1035), as far as a resolver for containers looks into them: one question, and
// answers that are addresses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/network/link.h"

namespace caisson {

struct Question {
  uint16_t id = 0;
  std::string name;  // in small letters, without a dot at the end
  uint16_t type = 0, kind = 0;
  size_t end = 0;  // of the question in the message
};

inline constexpr uint16_t DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_ANY = 255, DNS_IN = 1;
inline constexpr uint8_t DNS_NO_ERROR = 0, DNS_SERVER_FAILURE = 2, DNS_NO_SUCH_NAME = 3, DNS_NOT_IMPLEMENTED = 4;
// A question is small; what is larger asks for trouble.
inline constexpr size_t DNS_QUERY_MAX = 4096;
// By TCP, whose lengths have two bytes; more than UDP carries.
inline constexpr size_t DNS_MESSAGE_MAX = 65535;

// Nothing for what is no plain question: an answer, several questions, names that point elsewhere or do not end.
std::optional<Question> parse_query(std::string_view message);

// `query` is the whole message that was asked.
std::string answer_addresses(std::string_view query, const Question& question, const std::vector<Address>& addresses);
std::string answer_names(std::string_view query, const Question& question, const std::vector<std::string>& names);
std::string answer_code(std::string_view query, const Question& question, uint8_t code);

// Whether a message from a server is the answer to what was asked of it under `id`.
bool answers_query(std::string_view answer, std::string_view query, uint16_t id);
void set_id(std::string* message, uint16_t id);

}  // namespace caisson
