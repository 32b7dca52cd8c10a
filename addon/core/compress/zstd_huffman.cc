#include "core/compress/zstd_huffman.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/compress/zstd_bits.h"
#include "core/compress/zstd_fse.h"
#include "core/fault.h"

namespace caisson::zstd {

namespace {

constexpr unsigned WEIGHTS_MAX = 255, WEIGHT_LOG_MAX = 6;

struct Weights {
  std::array<uint8_t, 256> values{};
  size_t count = 0;
};

// Section 4.2.1.2: two states take turns on one stream, until a state has no bits left to move on with.
void read_compressed(std::span<const uint8_t> data, Weights& weights) {
  Distribution distribution;
  size_t used = read_distribution(data, Huffman::BITS + 1, WEIGHT_LOG_MAX, distribution);
  std::array<State, 1 << WEIGHT_LOG_MAX> table;
  build_states(distribution, table);
  BackwardBits in(data.subspan(used));
  size_t states[2];
  for (size_t& state : states) {
    state = in.take(distribution.log);
    in.refill();
  }
  if (in.overrun()) malformed("zstd: a damaged tree");
  auto put = [&](size_t state) {
    if (weights.count >= WEIGHTS_MAX) malformed("zstd: too many weights");
    weights.values[weights.count++] = table[state].symbol;
  };
  for (int turn = 0;; turn ^= 1) {
    size_t& state = states[turn];
    put(state);
    state = table[state].next + in.take(table[state].bits);
    if (in.overrun()) {
      put(states[turn ^ 1]);
      return;
    }
    in.refill();
  }
}

size_t read_weights(std::span<const uint8_t> data, Weights& weights) {
  if (data.empty()) malformed("zstd: no tree");
  const size_t head = data[0];
  if (head < 128) {
    if (data.size() < 1 + head) malformed("zstd: the tree ends too early");
    read_compressed(data.subspan(1, head), weights);
    return 1 + head;
  }
  weights.count = head - 127;
  const size_t bytes = (weights.count + 1) / 2;
  if (data.size() < 1 + bytes) malformed("zstd: the tree ends too early");
  for (size_t i = 0; i < weights.count; i++) {
    uint8_t pair = data[1 + i / 2];
    weights.values[i] = i % 2 ? pair & 15 : pair >> 4;
  }
  return 1 + bytes;
}

}  // namespace

size_t Huffman::read(std::span<const uint8_t> data) {
  ready_ = false;
  Weights weights;
  const size_t used = read_weights(data, weights);
  uint32_t sum = 0;
  size_t ones = 0;
  for (size_t i = 0; i < weights.count; i++) {
    if (weights.values[i] > BITS) malformed("zstd: a weight that is too large");
    ones += weights.values[i] == 1;
    if (weights.values[i] > 0) sum += 1u << (weights.values[i] - 1);
  }
  if (sum == 0) malformed("zstd: a tree without codes");
  // The last symbol's weight is what is missing to a power of two.
  const auto longest = static_cast<unsigned>(std::bit_width(sum));
  const uint32_t rest = (1u << longest) - sum;
  if (longest > BITS || !std::has_single_bit(rest)) malformed("zstd: a damaged tree");
  if (ones + (rest == 1) < 2) malformed("zstd: a tree without codes of the greatest length");
  weights.values[weights.count++] = static_cast<uint8_t>(std::bit_width(rest));

  uint16_t* at = table_.data();
  for (unsigned weight = 1; weight <= longest; weight++) {
    const size_t entries = size_t{1} << (weight - 1 + BITS - longest);
    for (size_t symbol = 0; symbol < weights.count; symbol++) {
      if (weights.values[symbol] != weight) continue;
      std::fill_n(at, entries, static_cast<uint16_t>(symbol << 8 | (longest + 1 - weight)));
      at += entries;
    }
  }
  ready_ = true;
  return used;
}

void Huffman::decode_one(std::span<const uint8_t> data, std::span<uint8_t> out) const {
  drain(BackwardBits(data), out);
}

void Huffman::drain(BackwardBits in, std::span<uint8_t> out) const {
  uint8_t* at = out.data();
  uint8_t* const end = at + out.size();
  auto symbol = [&] {
    uint16_t entry = table_[in.peek(BITS)];
    in.skip(entry & 0xff);
    *at++ = static_cast<uint8_t>(entry >> 8);
  };
  in.refill();
  while (end - at >= 5 && !in.overrun()) {
    for (int i = 0; i < 5; i++) symbol();
    in.refill();
  }
  while (at < end && !in.overrun()) symbol();
  in.refill();
  if (at < end || !in.finished()) malformed("zstd: damaged literals");
}

namespace {

// One of four streams that are read in step. The next bits stand highest in `bits`; below the last of them stands a
// single 1, so that the number of zeros behind it is the number of bits taken.
struct Lane {
  uint64_t bits;
  const uint8_t* in;
  const uint8_t* start;
  uint8_t* out;

  Lane(std::span<const uint8_t> data, uint8_t* to)
      : in(data.data() + data.size() - 8), start(data.data()), out(to) {
    bits = (load_le64(in) | 1) << (std::countl_zero(data.back()) + 1);
  }
  bool roomy() const { return in - start >= 8; }
  void refill() {
    auto taken = static_cast<unsigned>(std::countr_zero(bits));
    in -= taken >> 3;
    bits = (load_le64(in) | 1) << (taken & 7);
  }
  BackwardBits rest() const { return {start, in, static_cast<unsigned>(std::countr_zero(bits))}; }
};

}  // namespace

void Huffman::decode_four(std::span<const uint8_t> data, std::span<uint8_t> out) const {
  constexpr size_t JUMPS = 6;
  if (data.size() < JUMPS) malformed("zstd: damaged literals");
  std::array<std::span<const uint8_t>, 4> parts;
  std::span<const uint8_t> rest = data.subspan(JUMPS);
  for (size_t i = 0; i < 3; i++) {
    const size_t size = load_le16(data.data() + 2 * i);
    if (size > rest.size()) malformed("zstd: damaged literals");
    parts[i] = rest.first(size);
    rest = rest.subspan(size);
  }
  parts[3] = rest;
  const size_t share = (out.size() + 3) / 4;
  if (share * 3 > out.size()) malformed("zstd: damaged literals");
  bool quick = true;
  for (auto& part : parts) quick = quick && part.size() >= 8 && part.back() != 0;
  if (!quick) {
    for (size_t i = 0; i < 4; i++)
      decode_one(parts[i], out.subspan(i * share, i < 3 ? share : out.size() - 3 * share));
    return;
  }

  Lane lanes[4] = {{parts[0], out.data()},
                   {parts[1], out.data() + share},
                   {parts[2], out.data() + 2 * share},
                   {parts[3], out.data() + 3 * share}};
  // Five codes of at most 11 bits, and 7 bits that were taken before: 62 of the 63 above the mark. The last lane is the
  // shortest.
  const uint8_t* const last = out.data() + out.size();
  const uint16_t* const table = table_.data();
  while (lanes[0].roomy() && lanes[1].roomy() && lanes[2].roomy() && lanes[3].roomy() && last - lanes[3].out >= 5) {
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
#pragma GCC unroll 4
      for (Lane& lane : lanes) {
        uint16_t entry = table[lane.bits >> (64 - BITS)];
        lane.bits <<= entry & 0x3f;
        *lane.out++ = static_cast<uint8_t>(entry >> 8);
      }
    }
    for (Lane& lane : lanes) lane.refill();
  }
  for (size_t i = 0; i < 4; i++) {
    uint8_t* const end = i < 3 ? out.data() + (i + 1) * share : out.data() + out.size();
    drain(lanes[i].rest(), {lanes[i].out, end});
  }
}

}  // namespace caisson::zstd
