#include "core/compress/zstd.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/bytes.h"
#include "core/compress/zstd_block.h"
#include "core/fault.h"
#include "core/hash/xxhash64.h"

namespace caisson {

namespace {

using zstd::BLOCK_MAX;

constexpr const char* TRUNCATED = "the compressed data ends too early";

// Section 3.1.1.1.
struct FrameHeader {
  uint64_t window = 0;
  std::optional<uint64_t> content_size;
  bool checksum = false;
};

void need(ByteReader& in, size_t size) {
  if (!in.ensure(size)) malformed(TRUNCATED);
}

uint64_t number(ByteReader& in, size_t bytes) {
  need(in, bytes);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++) value |= static_cast<uint64_t>(in.at[i]) << (8 * i);
  in.at += bytes;
  return value;
}

FrameHeader read_header(ByteReader& in) {
  FrameHeader header;
  const auto descriptor = static_cast<uint8_t>(number(in, 1));
  const bool single = descriptor & 32;
  if (descriptor & 8) malformed("zstd: a reserved bit of the frame is set");
  header.checksum = descriptor & 4;
  if (!single) {
    const auto window = static_cast<uint8_t>(number(in, 1));
    const uint64_t base = uint64_t{1} << (10 + (window >> 3));
    header.window = base + base / 8 * (window & 7);
  }
  static constexpr size_t DICTIONARY_BYTES[] = {0, 1, 2, 4};
  if (number(in, DICTIONARY_BYTES[descriptor & 3]) != 0) refused("zstd: the data needs a dictionary");
  const unsigned form = descriptor >> 6;
  if (form > 0 || single) {
    header.content_size = number(in, size_t{1} << form) + (form == 1 ? 256 : 0);
    if (single) header.window = *header.content_size;
  }
  return header;
}

class Decoder {
 public:
  Decoder(ByteReader& in, Output& out, size_t window_max) : in_(in), out_(out), window_max_(window_max) {}

  void frame() {
    const FrameHeader header = read_header(in_);
    if (header.window > window_max_)
      over_limit("zstd: the data needs a window of " + std::to_string(header.window) + " bytes");
    window_.reset(header.window);
    blocks_.reset();
    checksum_ = XxHash64();
    size_ = 0;
    const size_t block_max = std::min<uint64_t>(header.window, BLOCK_MAX);
    while (block(block_max, header)) continue;
    if (header.content_size && size_ != *header.content_size) malformed("zstd: the size does not match");
    if (header.checksum && number(in_, 4) != (checksum_.value() & 0xffffffff))
      malformed("zstd: the checksum does not match");
  }

  void skip(uint64_t size) {
    while (size > 0) {
      if (!in_.more()) malformed(TRUNCATED);
      const size_t piece = std::min<uint64_t>(size, in_.size());
      in_.at += piece;
      size -= piece;
    }
  }

 private:
  // False after the last one.
  bool block(size_t size_max, const FrameHeader& header) {
    enum Kind { RAW, RUN, COMPRESSED };
    const auto head = static_cast<uint32_t>(number(in_, 3));
    const size_t size = head >> 3;
    if (size > size_max) malformed("zstd: a block that is too large");
    uint8_t* const start = window_.open();
    uint8_t* end = start + size;
    switch (head >> 1 & 3) {
      case RAW:
        need(in_, size);
        memcpy(start, in_.at, size);
        in_.at += size;
        break;
      case RUN:
        memset(start, static_cast<int>(number(in_, 1)), size);
        break;
      case COMPRESSED:
        if (size < 2) malformed("zstd: a block that is too small");
        need(in_, size);
        end = blocks_.run({in_.at, size}, size_max, window_, start);
        in_.at += size;
        break;
      default:
        malformed("zstd: a block of unknown kind");
    }
    window_.close(end);
    size_ += end - start;
    if (header.checksum) checksum_.update(start, end - start);
    out_.write(start, end - start);
    return !(head & 1);
  }

  ByteReader& in_;
  Output& out_;
  const size_t window_max_;
  zstd::Window window_;
  zstd::BlockDecoder blocks_;
  XxHash64 checksum_;
  uint64_t size_ = 0;
};

}  // namespace

void decode_zstd(ByteReader& in, Output& out, size_t window_max) {
  Decoder decoder(in, out, window_max);
  do {
    const auto magic = static_cast<uint32_t>(number(in, 4));
    if (magic == ZSTD_MAGIC)
      decoder.frame();
    else if ((magic & ~15u) == ZSTD_SKIPPABLE_MAGIC)
      decoder.skip(number(in, 4));
    else
      malformed("zstd: something else follows the compressed data");
  } while (in.more());
}

}  // namespace caisson
