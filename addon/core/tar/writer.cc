#include "core/tar/writer.h"

#include <cstring>
#include <map>
#include <string_view>

#include "core/tar/header.h"

namespace caisson::tar {

namespace {

// Name of extended headers themselves, for readers that take them for files.
constexpr std::string_view PAX_NAME = "././@PaxHeader";

// Leaves the field alone, and returns false, when the number does not fit: one place is for the NUL.
template <size_t N>
bool put_octal(char (&field)[N], uint64_t value) {
  if (value >> (3 * (N - 1)) != 0) return false;
  for (size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
  return true;
}

template <size_t N>
bool put_text(char (&field)[N], std::string_view text) {
  if (text.size() > N) return false;
  memcpy(field, text.data(), text.size());
  return true;
}

// Names of more than 100 bytes are split at a slash.
bool put_name(Header& header, std::string_view name) {
  if (put_text(header.name, name)) return true;
  if (name.size() > sizeof header.prefix + 1 + sizeof header.name) return false;
  // The last slash that leaves a prefix that fits, but not the one that a directory's name ends with.
  size_t slash = name.rfind('/', std::min(sizeof header.prefix, name.size() - 2));
  if (slash == std::string_view::npos || slash == 0) return false;
  return put_text(header.name, name.substr(slash + 1)) && put_text(header.prefix, name.substr(0, slash));
}

std::string finished(Header& header) {
  memcpy(header.magic, "ustar", 6);
  memcpy(header.version, "00", 2);
  memset(header.checksum, ' ', sizeof header.checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < BLOCK; i++) sum += reinterpret_cast<const uint8_t*>(&header)[i];
  char digits[7] = {};
  put_octal(digits, sum);
  memcpy(header.checksum, digits, sizeof digits);
  return {reinterpret_cast<const char*>(&header), BLOCK};
}

// "LENGTH KEY=VALUE\n", where the length counts its own digits.
std::string record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (rest + std::to_string(length).size() > length) length++;
  std::string text = std::to_string(length) + ' ';
  text += key;
  text += '=';
  text += value;
  return text + '\n';
}

std::string time_text(const Time& time) {
  // Fractions count towards the future; in decimal they count away from zero.
  int64_t seconds = time.seconds;
  uint32_t fraction = time.nanoseconds;
  const bool negative = seconds < 0;
  if (negative && fraction > 0) {
    seconds++;
    fraction = 1'000'000'000 - fraction;
  }
  std::string text = negative && seconds == 0 ? "-0" : std::to_string(seconds);
  if (fraction == 0) return text;
  std::string digits = std::to_string(fraction);
  digits.insert(0, 9 - digits.size(), '0');
  digits.resize(digits.find_last_not_of('0') + 1);
  return text + '.' + digits;
}

char flag(Type type) {
  switch (type) {
    case Type::File:
      return '0';
    case Type::HardLink:
      return '1';
    case Type::Symlink:
      return '2';
    case Type::CharacterDevice:
      return '3';
    case Type::BlockDevice:
      return '4';
    case Type::Directory:
      return '5';
    case Type::Fifo:
      return '6';
  }
  return '0';
}

}  // namespace

std::string header_blocks(const Entry& entry) {
  Header header{};
  std::map<std::string, std::string> records;
  if (!put_name(header, entry.name)) {
    records["path"] = entry.name;
    put_text(header.name, std::string_view(entry.name).substr(0, sizeof header.name));
  }
  if (!put_text(header.link, entry.link)) {
    records["linkpath"] = entry.link;
    put_text(header.link, std::string_view(entry.link).substr(0, sizeof header.link));
  }
  auto put = [&](auto& field, const char* key, uint64_t value) {
    if (put_octal(field, value)) return;
    records[key] = std::to_string(value);
    put_octal(field, 0);
  };
  put_octal(header.mode, entry.mode);
  put(header.uid, "uid", entry.uid);
  put(header.gid, "gid", entry.gid);
  put(header.size, "size", entry.type == Type::File ? entry.size : 0);
  if (entry.mtime.nanoseconds != 0 || entry.mtime.seconds < 0 ||
      !put_octal(header.mtime, static_cast<uint64_t>(entry.mtime.seconds))) {
    records["mtime"] = time_text(entry.mtime);
    if (!put_octal(header.mtime, static_cast<uint64_t>(entry.mtime.seconds))) put_octal(header.mtime, 0);
  }
  header.type = flag(entry.type);
  put_octal(header.major, entry.major);
  put_octal(header.minor, entry.minor);
  for (const Xattr& xattr : entry.xattrs) records["SCHILY.xattr." + xattr.name] = xattr.value;
  std::string blocks = finished(header);
  if (records.empty()) return blocks;

  std::string body;
  for (const auto& [key, value] : records) body += record(key, value);
  Header pax{};
  put_text(pax.name, PAX_NAME);
  put_octal(pax.mode, 0644);
  put_octal(pax.uid, 0);
  put_octal(pax.gid, 0);
  put_octal(pax.size, body.size());
  put_octal(pax.mtime, 0);
  pax.type = 'x';
  put_octal(pax.major, 0);
  put_octal(pax.minor, 0);
  body.resize((body.size() + BLOCK - 1) / BLOCK * BLOCK);
  return finished(pax) + body + blocks;
}

}  // namespace caisson::tar
