// The frame around DEFLATE (RFC 1952).
#include <array>

#include "core/compress/inflate.h"
#include "core/fault.h"
#include "core/hash/crc32.h"

namespace caisson {

namespace {

enum Flag : uint8_t { HEADER_CRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xe0 };

// Names and comments have no bound of their own.
constexpr size_t HEADER_MAX = 128 << 10;

class Header {
 public:
  explicit Header(Inflater& in) : in_(in) {}

  void read() {
    if (byte() != 0x1f || byte() != 0x8b) malformed("gzip: something else follows the compressed data");
    if (byte() != 8) malformed("gzip: a compression method that is not deflate");
    uint8_t flags = byte();
    if (flags & RESERVED) malformed("gzip: unknown flags");
    skip(6);  // time, speed, system
    if (flags & EXTRA) {
      size_t low = byte();
      skip(low | static_cast<size_t>(byte()) << 8);
    }
    if (flags & NAME) skip_text();
    if (flags & COMMENT) skip_text();
    if (flags & HEADER_CRC) {
      uint32_t wanted = crc_ & 0xffff;
      uint32_t low = byte();
      if ((low | static_cast<uint32_t>(byte()) << 8) != wanted) malformed("gzip: the header's checksum does not match");
    }
  }

 private:
  uint8_t byte() {
    if (++size_ > HEADER_MAX) over_limit("gzip: the header is longer than 128 KiB");
    uint8_t value = in_.byte();
    crc_ = crc32(crc_, &value, 1);
    return value;
  }
  void skip(size_t count) {
    while (count-- > 0) byte();
  }
  void skip_text() {
    while (byte() != 0) continue;
  }

  Inflater& in_;
  uint32_t crc_ = 0;
  size_t size_ = 0;
};

uint32_t word(Inflater& in) {
  uint32_t value = 0;
  for (int shift = 0; shift < 32; shift += 8) value |= static_cast<uint32_t>(in.byte()) << shift;
  return value;
}

}  // namespace

void decode_gzip(ByteReader& in, Output& out) {
  Inflater inflater(in, out);
  do {
    Header(inflater).read();
    inflater.run();
    if (word(inflater) != inflater.crc()) malformed("gzip: the checksum does not match");
    if (word(inflater) != static_cast<uint32_t>(inflater.size())) malformed("gzip: the size does not match");
  } while (!inflater.at_end());
}

}  // namespace caisson
