#include "core/compress/zstd_block.h"

#include <algorithm>
#include <cstring>

#include "core/compress/zstd_bits.h"
#include "core/compress/zstd_codes.h"
#include "core/fault.h"

namespace caisson::zstd {

namespace {

constexpr size_t WINDOW_SLACK = 64;

}  // namespace

void Window::reset(size_t size) {
  const size_t wanted = size + 2 * (BLOCK_MAX + WINDOW_SLACK);
  if (wanted > capacity_) {
    memory_.reset();
    memory_.reset(new uint8_t[wanted]);
    capacity_ = wanted;
  }
  segment_ = at_ = older_end_ = memory_.get();
  older_size_ = 0;
}

uint8_t* Window::open() {
  const uint8_t* end = memory_.get() + capacity_;
  if (static_cast<size_t>(end - at_) < BLOCK_MAX + WINDOW_SLACK) {
    older_end_ = at_;
    older_size_ = at_ - segment_;
    at_ = segment_ = memory_.get();
  }
  return at_;
}

// Of the older bytes those that the present block may overwrite are gone.
bool Window::copy_older(uint8_t* out, size_t distance, size_t length) {
  size_t back = distance - (out - segment_);
  const uint8_t* lost = at_ + BLOCK_MAX + WINDOW_SLACK;
  if (back > older_size_ || older_end_ - back < lost) return false;
  const uint8_t* from = older_end_ - back;
  for (; length > 0 && from < older_end_; length--) *out++ = *from++;
  for (from = segment_; length > 0; length--) *out++ = *from++;
  return true;
}

void BlockDecoder::reset() {
  huffman_.reset();
  lengths_.ready = distances_.ready = matches_.ready = false;
  recent_ = {1, 4, 8};
}

uint8_t* BlockDecoder::run(std::span<const uint8_t> block, size_t size_max, Window& window, uint8_t* out) {
  size_t used = read_literals(block, size_max);
  return read_sequences(block.subspan(used), size_max, window, out);
}

// Section 3.1.1.3.1. Returns the number of bytes that the literals take.
size_t BlockDecoder::read_literals(std::span<const uint8_t> block, size_t size_max) {
  enum Kind { RAW, RUN, COMPRESSED, TREELESS };
  auto need = [&](size_t size) {
    if (block.size() < size) malformed("zstd: the literals end too early");
  };
  need(1);
  const auto kind = static_cast<Kind>(block[0] & 3);
  const unsigned format = block[0] >> 2 & 3;
  uint8_t* const out = literals_.get();
  if (kind == RAW || kind == RUN) {
    const size_t head = format == 1 ? 2 : format == 3 ? 3 : 1;
    need(head);
    size_t size = block[0];
    for (size_t i = 1; i < head; i++) size |= static_cast<size_t>(block[i]) << (8 * i);
    size >>= head == 1 ? 3 : 4;
    if (size > size_max) malformed("zstd: too many literals");
    const size_t stored = kind == RAW ? size : 1;
    need(head + stored);
    if (kind == RAW)
      memcpy(out, block.data() + head, size);
    else
      memset(out, block[head], size);
    literals_size_ = size;
    return head + stored;
  }
  const size_t head = format < 2 ? 3 : format + 2;
  const unsigned bits = format < 2 ? 10 : format == 2 ? 14 : 18;
  need(head);
  uint64_t word = 0;
  for (size_t i = 0; i < head; i++) word |= static_cast<uint64_t>(block[i]) << (8 * i);
  const size_t size = word >> 4 & ((1u << bits) - 1);
  const size_t compressed = word >> (4 + bits) & ((1u << bits) - 1);
  if (size > size_max || size == 0) malformed("zstd: a bad number of literals");
  need(head + compressed);
  std::span<const uint8_t> data = block.subspan(head, compressed);
  if (kind == COMPRESSED)
    data = data.subspan(huffman_.read(data));
  else if (!huffman_.ready())
    malformed("zstd: literals without a tree");
  if (format == 0)
    huffman_.decode_one(data, {out, size});
  else
    huffman_.decode_four(data, {out, size});
  literals_size_ = size;
  return head + compressed;
}

// Sections 3.1.1.3.2 and 3.1.1.4.
uint8_t* BlockDecoder::read_sequences(std::span<const uint8_t> data, size_t size_max, Window& window, uint8_t* out) {
  SequenceHeader header = read_sequence_header(data, lengths_, distances_, matches_);
  const uint8_t* literal = literals_.get();
  const uint8_t* const literal_end = literal + literals_size_;
  const uint8_t* const end = out + size_max;
  if (header.count > 0) {
    BackwardBits in(data.subspan(header.size));
    const SequenceState* const lengths = lengths_.states.data();
    const SequenceState* const distances = distances_.states.data();
    const SequenceState* const matches = matches_.states.data();
    size_t length_at = in.take(lengths_.log);
    size_t distance_at = in.take(distances_.log);
    size_t match_at = in.take(matches_.log);
    auto [first, second, third] = recent_;
    for (size_t left = header.count; left > 0; left--) {
      in.refill();
      const SequenceState length_state = lengths[length_at];
      const SequenceState distance_state = distances[distance_at];
      const SequenceState match_state = matches[match_at];
      size_t distance = distance_state.base + in.take(distance_state.extra);
      const size_t match = match_state.base + in.take(match_state.extra);
      // 57 bits were there. The rest of this turn takes up to 26 for the states.
      if (distance_state.extra + match_state.extra + length_state.extra > 57 - 26) [[unlikely]] in.refill();
      const size_t length = length_state.base + in.take(length_state.extra);
      if (left > 1) {
        length_at = length_state.next + in.take(length_state.bits);
        match_at = match_state.next + in.take(match_state.bits);
        distance_at = distance_state.next + in.take(distance_state.bits);
      }
      if (in.overrun()) [[unlikely]] malformed("zstd: the sequences end too early");

      // Section 3.1.1.5: 1 to 3 are the distances used last; without literals, the others and one less than the first.
      if (distance_state.extra > 1) {
        distance -= 3;
        third = second;
        second = first;
        first = distance;
      } else {
        size_t index = distance - 1 + (length == 0);
        distance = index == 0 ? first : index == 1 ? second : index == 2 ? third : first - 1;
        if (distance == 0) malformed("zstd: a distance of zero");
        if (index > 1) third = second;
        if (index > 0) {
          second = first;
          first = distance;
        }
      }

      if (length > static_cast<size_t>(literal_end - literal)) [[unlikely]] malformed("zstd: too few literals");
      if (length + match > static_cast<size_t>(end - out)) [[unlikely]] malformed("zstd: a block that is too large");
      copy_far(out, literal, length);
      out += length;
      literal += length;
      if (!window.copy(out, distance, match)) [[unlikely]] malformed("zstd: a distance before the start");
      out += match;
    }
    in.refill();
    if (!in.finished()) malformed("zstd: the sequences do not end where they should");
    recent_ = {first, second, third};
  }
  const size_t rest = literal_end - literal;
  if (rest > static_cast<size_t>(end - out)) malformed("zstd: a block that is too large");
  memcpy(out, literal, rest);
  return out + rest;
}

}  // namespace caisson::zstd
