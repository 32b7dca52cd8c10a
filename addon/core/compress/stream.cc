#include "core/compress/stream.h"

#include <algorithm>
#include <cstring>

#include "core/fault.h"

namespace caisson {

void Output::write(const uint8_t* data, size_t size) {
  while (size > 0) {
    if (at == end) turn();
    size_t taken = std::min<size_t>(size, end - at);
    memcpy(at, data, taken);
    at += taken;
    data += taken;
    size -= taken;
  }
}

bool ByteReader::more() {
  if (at < end) return true;
  auto piece = input_.next();
  at = piece.data();
  end = at + piece.size();
  return at < end;
}

bool ByteReader::ensure(size_t wanted) {
  if (size() >= wanted) return true;
  std::vector<uint8_t> joined(at, end);
  bool enough = true;
  while (enough && joined.size() < wanted) {
    auto piece = input_.next();
    enough = !piece.empty();
    joined.insert(joined.end(), piece.begin(), piece.end());
  }
  joined_ = std::move(joined);
  at = joined_.data();
  end = at + joined_.size();
  return enough;
}

uint8_t ByteReader::byte() {
  if (!more()) malformed("the compressed data ends too early");
  return *at++;
}

}  // namespace caisson
