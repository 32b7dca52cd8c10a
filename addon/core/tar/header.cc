#include "core/tar/header.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "core/fault.h"

namespace caisson::tar {

bool is_zero(std::span<const uint8_t> block) {
  return std::all_of(block.begin(), block.end(), [](uint8_t byte) { return byte == 0; });
}

bool checksum_matches(const Header& header) {
  auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  constexpr size_t FROM = offsetof(Header, checksum), TO = FROM + sizeof header.checksum;
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < BLOCK; i++) {
    uint8_t byte = i >= FROM && i < TO ? ' ' : bytes[i];
    plain += byte;
    with_sign += static_cast<int8_t>(byte);
  }
  try {
    int64_t wanted = number(header.checksum, "checksum");
    return wanted == plain || wanted == with_sign;
  } catch (const Fault&) {
    return false;
  }
}

namespace {

[[noreturn]] void bad(const char* what) { malformed(std::string("tar: a bad ") + what + " in a header"); }

// Big-endian two's complement behind a leading 1, which is the sign as well when the whole first byte is set.
int64_t base256(std::string_view field, const char* what) {
  const auto first = static_cast<uint8_t>(field[0]);
  if (first != 0x80 && first != 0xff) {
    // Bits of the number in the first byte: more than 64 in any field of 12, and none of ours is that large.
    if (field.size() > 8 || first & 0x40) bad(what);
  }
  int64_t value = first == 0xff ? -1 : first & 0x3f;
  for (char byte : field.substr(1)) {
    if (value > (std::numeric_limits<int64_t>::max() >> 8) || value < (std::numeric_limits<int64_t>::min() >> 8))
      bad(what);
    value = value * 256 + static_cast<uint8_t>(byte);
  }
  return value;
}

}  // namespace

int64_t number(std::string_view field, const char* what) {
  if (static_cast<uint8_t>(field[0]) & 0x80) return base256(field, what);
  // An overflowing field before this one may have left its NUL here.
  if (field[0] == '\0') field.remove_prefix(1);
  size_t at = field.find_first_not_of(' ');
  if (at == std::string_view::npos || field[at] == '\0') return 0;
  int64_t value = 0;
  for (; at < field.size() && field[at] >= '0' && field[at] <= '7'; at++) value = value * 8 + (field[at] - '0');
  while (at < field.size() && field[at] == ' ') at++;
  if (at < field.size() && field[at] != '\0') bad(what);
  return value;
}

uint64_t natural(std::string_view field, const char* what) {
  int64_t value = number(field, what);
  if (value < 0) malformed(std::string("tar: a negative ") + what);
  return static_cast<uint64_t>(value);
}

Format format(const Header& header) {
  if (memcmp(header.magic, "ustar ", 6) == 0 && memcmp(header.version, " ", 2) == 0) return Format::Gnu;
  if (memcmp(header.magic, "ustar", 6) == 0) return Format::Ustar;
  return Format::V7;
}

}  // namespace caisson::tar
