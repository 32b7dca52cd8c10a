#include "core/tar/pax.h"

#include <algorithm>
#include <limits>

#include "core/fault.h"

namespace caisson::tar {

namespace {

// Linux lists 64 KiB of names at most; this many have not been seen.
constexpr size_t XATTRS_MAX = 512;
constexpr std::string_view XATTR = "SCHILY.xattr.", SPARSE = "GNU.sparse.";

struct Record {
  std::string_view key, value;
};

// "LENGTH KEY=VALUE\n", where the length is that of the whole record, in decimal.
Record take_record(std::string_view& rest) {
  size_t blank = rest.find(' ');
  if (blank == std::string_view::npos || blank > 7) malformed("pax: a record without a length");
  uint64_t length = decimal(rest.substr(0, blank), "length of a pax record");
  if (length > rest.size() || length < blank + 3 || rest[length - 1] != '\n')
    malformed("pax: a record with a wrong length");
  std::string_view record = rest.substr(blank + 1, length - blank - 2);
  rest.remove_prefix(length);
  size_t equals = record.find('=');
  if (equals == std::string_view::npos || equals == 0) malformed("pax: a record without a key");
  std::string_view key = record.substr(0, equals);
  if (key.find('\0') != std::string_view::npos) malformed("pax: a NUL in a key");
  return {key, record.substr(equals + 1)};
}

std::string_view without_nul(std::string_view value) {
  if (value.find('\0') != std::string_view::npos) malformed("pax: a NUL in a value");
  return value;
}

// An empty value takes back what was said before.
void set(std::optional<std::string>& field, std::string_view value) {
  field.reset();
  if (!value.empty()) field = without_nul(value);
}

void set(std::optional<uint64_t>& field, std::string_view value, const char* what) {
  field.reset();
  if (!value.empty()) field = decimal(value, what);
}

void set(std::optional<Time>& field, std::string_view value) {
  field.reset();
  if (!value.empty()) field = decimal_time(value);
}

void set_xattr(std::vector<Xattr>& xattrs, std::string_view name, std::string_view value) {
  for (Xattr& xattr : xattrs)
    if (xattr.name == name) {
      xattr.value = value;
      return;
    }
  if (xattrs.size() == XATTRS_MAX) over_limit("tar: more than 512 extended attributes");
  xattrs.push_back({std::string(name), std::string(value)});
}

void set_sparse(Pax& pax, std::string_view key, std::string_view value) {
  auto add = [&](std::string_view digits) { pax.sparse_map.push_back(decimal(digits, "sparse map")); };
  if (key == "name") {
    set(pax.sparse_name, value);
  } else if (key == "major") {
    set(pax.sparse_major, value, "sparse version");
  } else if (key == "minor") {
    set(pax.sparse_minor, value, "sparse version");
  } else if (key == "size" || key == "realsize") {
    set(pax.sparse_size, value, "size");
  } else if (key == "numblocks") {
    set(pax.sparse_count, value, "number of parts");
  } else if (key == "offset") {
    if (pax.sparse_map.size() % 2 != 0) malformed("tar: a sparse map out of order");
    add(value);
  } else if (key == "numbytes") {
    if (pax.sparse_map.size() % 2 != 1) malformed("tar: a sparse map out of order");
    add(value);
  } else if (key == "map") {
    pax.sparse_map.clear();
    while (!value.empty()) {
      size_t comma = std::min(value.find(','), value.size());
      add(value.substr(0, comma));
      value.remove_prefix(std::min(comma + 1, value.size()));
    }
  }
}

// True when the record is one that members can share.
bool set_shared(Pax& pax, const Record& record) {
  if (record.key == "mtime")
    set(pax.mtime, record.value);
  else if (record.key == "uid")
    set(pax.uid, record.value, "uid");
  else if (record.key == "gid")
    set(pax.gid, record.value, "gid");
  else
    return false;
  return true;
}

// True when it belongs to one member, and is one that matters.
bool set_own(Pax& pax, const Record& record) {
  if (record.key == "path")
    set(pax.path, record.value);
  else if (record.key == "linkpath")
    set(pax.link, record.value);
  else if (record.key == "size")
    set(pax.size, record.value, "size");
  else if (record.key.starts_with(XATTR))
    set_xattr(pax.xattrs, record.key.substr(XATTR.size()), record.value);
  else if (record.key.starts_with(SPARSE))
    set_sparse(pax, record.key.substr(SPARSE.size()), record.value);
  else if (record.key == "SCHILY.filetype" && record.value == "sparse")
    refused("tar: a sparse file in star's own format");
  else
    return false;
  return true;
}

std::string_view as_text(std::span<const uint8_t> body) {
  return {reinterpret_cast<const char*>(body.data()), body.size()};
}

}  // namespace

uint64_t decimal(std::string_view digits, const char* what) {
  uint64_t value = 0;
  bool good = !digits.empty() && digits.size() <= 19;
  for (char digit : digits) {
    good = good && digit >= '0' && digit <= '9';
    if (!good) break;
    value = value * 10 + static_cast<uint64_t>(digit - '0');
  }
  // 19 digits fit into 64 bits; sizes are wanted in 63.
  if (!good || value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    malformed(std::string("tar: a bad ") + what);
  return value;
}

Time decimal_time(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = std::min(text.find('.'), text.size());
  Time time;
  time.seconds = static_cast<int64_t>(decimal(text.substr(0, point), "time"));
  std::string_view fraction = text.substr(std::min(point + 1, text.size()));
  uint32_t scale = 100'000'000;
  for (char digit : fraction) {
    if (digit < '0' || digit > '9') malformed("tar: a bad time");
    time.nanoseconds += static_cast<uint32_t>(digit - '0') * scale;
    scale /= 10;
  }
  if (!negative) return time;
  time.seconds = -time.seconds;
  if (time.nanoseconds > 0) {
    time.seconds--;
    time.nanoseconds = 1'000'000'000 - time.nanoseconds;
  }
  return time;
}

Pax read_pax(std::span<const uint8_t> body) {
  Pax pax;
  std::string_view rest = as_text(body);
  while (!rest.empty()) {
    Record record = take_record(rest);
    if (!set_shared(pax, record)) set_own(pax, record);
  }
  return pax;
}

void read_global_pax(std::span<const uint8_t> body, Pax& global) {
  std::string_view rest = as_text(body);
  while (!rest.empty()) {
    Record record = take_record(rest);
    Pax own;
    if (!set_shared(global, record) && set_own(own, record))
      refused("pax: " + std::string(record.key) + " for all members that follow");
  }
}

}  // namespace caisson::tar
