#include "core/compress/inflate.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/bytes.h"
#include "core/compress/copy.h"
#include "core/fault.h"
#include "core/hash/crc32.h"

namespace caisson {

using namespace deflate;

namespace {

constexpr size_t LONGEST_MATCH = 258;
// One turn of the fast loop loads eight bytes at most three times, and puts out up to three literals and a match.
// The copy of the match runs into the slack of the room.
constexpr size_t INPUT_MARGIN = 32, OUTPUT_MARGIN = LONGEST_MATCH + 8;
static_assert(COPY_SLACK + 16 <= Output::SLACK);

}  // namespace

void Inflater::fill(unsigned wanted) {
  while (count_ < wanted && in_.more()) {
    bits_ |= static_cast<uint64_t>(*in_.at++) << count_;
    count_ += 8;
  }
}

uint32_t Inflater::take(unsigned bits) {
  fill(bits);
  if (count_ < bits) malformed("the compressed data ends too early");
  auto value = static_cast<uint32_t>(bits_ & ((uint64_t{1} << bits) - 1));
  bits_ >>= bits;
  count_ -= bits;
  return value;
}

uint8_t Inflater::byte() { return static_cast<uint8_t>(take(8)); }

// The entry for the next code, which is dropped with its extra bits but for these: they stay for the caller.
uint32_t Inflater::decode(const uint32_t* table, unsigned root) {
  fill(15 + 13);
  uint32_t entry = table[bits_ & ((1u << root) - 1)];
  if (entry & LINK && entry & SPECIAL) {
    if (count_ < root) malformed("the compressed data ends too early");
    take(root);
    entry = table[payload(entry) + (bits_ & ((1u << code_bits(entry)) - 1))];
  }
  if (entry & SPECIAL && !(entry & END)) malformed("deflate: a code that is not in use");
  if (dropped(entry) > count_) malformed("the compressed data ends too early");
  return entry;
}

void Inflater::account() {
  crc_ = crc32(crc_, mark_, out_.at - mark_);
  size_ += out_.at - mark_;
  mark_ = out_.at;
}

void Inflater::turn() {
  account();
  out_.turn();
  mark_ = out_.at;
  low_ = out_.at - std::min<uint64_t>(size_, Output::HISTORY);
}

void Inflater::run() {
  crc_ = 0;
  size_ = 0;
  mark_ = low_ = out_.at;
  bool last;
  do {
    last = take(1);
    switch (take(2)) {
      case 0:
        stored();
        break;
      case 1:
        codes(fixed_tables());
        break;
      case 2:
        dynamic();
        codes(*own_);
        break;
      default:
        malformed("deflate: a block of unknown kind");
    }
  } while (!last);
  account();
  take(count_ % 8);
}

void Inflater::stored() {
  take(count_ % 8);
  uint32_t length = take(16);
  if (take(16) != (length ^ 0xffff)) malformed("deflate: damaged length of a stored block");
  // Whole bytes that were taken into the bits already come first.
  while (length > 0) {
    if (out_.at == out_.end) turn();
    if (count_ > 0) {
      *out_.at++ = byte();
      length--;
      continue;
    }
    if (!in_.more()) malformed("the compressed data ends too early");
    size_t piece = std::min<size_t>({length, in_.size(), static_cast<size_t>(out_.end - out_.at)});
    memcpy(out_.at, in_.at, piece);
    in_.at += piece;
    out_.at += piece;
    length -= static_cast<uint32_t>(piece);
  }
}

// RFC 1951, section 3.2.7.
void Inflater::dynamic() {
  static constexpr uint8_t ORDER[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const size_t literals = take(5) + 257, distances = take(5) + 1, precodes = take(4) + 4;
  if (literals > 286 || distances > 30) malformed("deflate: too many codes");
  std::array<uint8_t, 19> precode{};
  for (size_t i = 0; i < precodes; i++) precode[ORDER[i]] = static_cast<uint8_t>(take(3));
  std::array<uint32_t, PRECODE_ENTRIES> table;
  build_precode(precode, table);

  std::array<uint8_t, 286 + 30> lengths;
  const size_t total = literals + distances;
  for (size_t i = 0; i < total;) {
    uint32_t entry = decode(table.data(), PRECODE_BITS);
    take(dropped(entry));
    uint32_t symbol = payload(entry);
    if (symbol < 16) {
      lengths[i++] = static_cast<uint8_t>(symbol);
      continue;
    }
    uint8_t value = 0;
    size_t repeat;
    if (symbol == 16) {
      if (i == 0) malformed("deflate: nothing to repeat");
      value = lengths[i - 1];
      repeat = 3 + take(2);
    } else {
      repeat = symbol == 17 ? 3 + take(3) : 11 + take(7);
    }
    if (repeat > total - i) malformed("deflate: too many lengths of codes");
    std::fill_n(lengths.begin() + i, repeat, value);
    i += repeat;
  }
  build_literals({lengths.data(), literals}, *own_);
  build_distances({lengths.data() + literals, distances}, *own_);
}

void Inflater::codes(const Tables& tables) {
  for (;;) {
    bool room = in_.size() >= INPUT_MARGIN && static_cast<size_t>(out_.end - out_.at) >= OUTPUT_MARGIN;
    if (room ? fast(tables) : slow(tables)) return;
  }
}

// Decodes while there is plenty of input and of room. True at the end of the block.
bool Inflater::fast(const Tables& tables) {
  const uint32_t* const literals = tables.literals.data();
  const uint32_t* const distances = tables.distances.data();
  const uint8_t* const low = low_;
  const uint8_t* const in_last = in_.end - INPUT_MARGIN;
  uint8_t* const out_last = out_.end - OUTPUT_MARGIN;
  const uint8_t* in = in_.at;
  uint8_t* out = out_.at;
  uint64_t bits = bits_;
  unsigned count = count_;
  bool ended = false;

  // At least 56 bits afterwards. Bits above `count` may be set already; they are those that the next refill brings.
  auto refill = [&] {
    bits |= load_le64(in) << count;
    in += (63 - count) >> 3;
    count |= 56;
  };
  auto drop = [&](uint32_t entry) {
    bits >>= dropped(entry);
    count -= dropped(entry);
  };
  auto put = [&](uint32_t entry) { *out++ = static_cast<uint8_t>(payload(entry)); };
  auto literal_at = [&] { return literals[bits & ((1u << LITERAL_BITS) - 1)]; };
  // The value of an entry with extra bits, which are dropped.
  auto value = [&](uint32_t entry) {
    uint64_t all = bits & ((uint64_t{1} << dropped(entry)) - 1);
    drop(entry);
    return payload(entry) + static_cast<size_t>(all >> code_bits(entry));
  };

  refill();
  uint32_t entry = literal_at();
  while (in <= in_last && out <= out_last) {
    if (entry & LITERAL) {
      drop(entry);
      put(entry);
      entry = literal_at();
      if (entry & LITERAL) {
        drop(entry);
        put(entry);
        entry = literal_at();
        if (entry & LITERAL) {
          drop(entry);
          put(entry);
          refill();
          entry = literal_at();
          continue;
        }
      }
      // Adds bits above those that `entry` was found with.
      refill();
    }
    // There are 56 bits: enough for a length (20) and a distance (28).
    if (entry & SPECIAL) {
      if (entry & LINK) {
        drop(entry);
        entry = literals[payload(entry) + (bits & ((1u << code_bits(entry)) - 1))];
        if (entry & LITERAL) {
          drop(entry);
          put(entry);
          refill();
          entry = literal_at();
          continue;
        }
      }
      if (entry & SPECIAL) {
        if (!(entry & END)) malformed("deflate: a code that is not in use");
        drop(entry);
        ended = true;
        break;
      }
    }
    const size_t length = value(entry);
    entry = distances[bits & ((1u << DISTANCE_BITS) - 1)];
    if (entry & SPECIAL) {
      if (entry & LINK) {
        drop(entry);
        entry = distances[payload(entry) + (bits & ((1u << code_bits(entry)) - 1))];
      }
      if (entry & SPECIAL) malformed("deflate: a code that is not in use");
    }
    const size_t distance = value(entry);
    if (distance > static_cast<size_t>(out - low)) malformed("deflate: a distance before the start");
    // The next look-up does not wait for the copy.
    refill();
    entry = literal_at();
    copy_match(out, distance, length);
    out += length;
  }
  in_.at = in;
  out_.at = out;
  bits_ = bits & ((uint64_t{1} << count) - 1);
  count_ = count;
  return ended;
}

// One code with a look at every byte, at the edges of the input and of the room. True at the end of the block.
bool Inflater::slow(const Tables& tables) {
  uint32_t entry = decode(tables.literals.data(), LITERAL_BITS);
  if (entry & LITERAL) {
    take(dropped(entry));
    if (out_.at == out_.end) turn();
    *out_.at++ = static_cast<uint8_t>(payload(entry));
    return false;
  }
  if (entry & SPECIAL) {
    take(dropped(entry));
    return true;
  }
  auto value = [&](uint32_t with_extra) {
    take(code_bits(with_extra));
    return payload(with_extra) + take(dropped(with_extra) - code_bits(with_extra));
  };
  size_t length = value(entry);
  size_t distance = value(decode(tables.distances.data(), DISTANCE_BITS));
  copy(distance, length);
  return false;
}

// A match of which part may have to go into the next block of memory.
void Inflater::copy(size_t distance, size_t length) {
  while (length > 0) {
    if (out_.at == out_.end) turn();
    if (distance > static_cast<size_t>(out_.at - low_)) malformed("deflate: a distance before the start");
    size_t piece = std::min<size_t>(length, out_.end - out_.at);
    for (size_t i = 0; i < piece; i++, out_.at++) *out_.at = *(out_.at - distance);
    length -= piece;
  }
}

}  // namespace caisson
