#include "core/compress/zstd_fse.h"

#include <cstdlib>

#include "core/compress/zstd_bits.h"
#include "core/fault.h"

namespace caisson::zstd {

// Section 4.1.1. A value below the number of unassigned states plus one is written in as few bits as tell it apart.
size_t read_distribution(std::span<const uint8_t> data, unsigned symbols_max, unsigned log_max, Distribution& result) {
  ForwardBits in(data);
  result.log = in.peek(4) + 5;
  in.skip(4);
  if (result.log > log_max) malformed("zstd: too many states");
  int remaining = 1 << result.log;
  unsigned symbol = 0;
  while (remaining > 0) {
    if (symbol >= symbols_max) malformed("zstd: too many symbols");
    const auto values = static_cast<unsigned>(remaining) + 2;  // 0 .. remaining + 1
    const auto bits = static_cast<unsigned>(std::bit_width(values - 1));
    const unsigned short_ones = (1u << bits) - values;  // so many values need one bit less
    unsigned value = in.peek(bits - 1);
    if (value < short_ones) {
      in.skip(bits - 1);
    } else {
      value = in.peek(bits);
      in.skip(bits);
      if (value >= 1u << (bits - 1)) value -= short_ones;
    }
    int count = static_cast<int>(value) - 1;
    result.counts[symbol++] = static_cast<int16_t>(count);
    remaining -= std::abs(count);
    if (count != 0) continue;
    // Two bits say how many more symbols have none; 3 means that two more bits follow.
    unsigned repeat;
    do {
      repeat = in.peek(2);
      in.skip(2);
      if (symbol + repeat > symbols_max) malformed("zstd: too many symbols");
      for (unsigned i = 0; i < repeat; i++) result.counts[symbol++] = 0;
    } while (repeat == 3);
  }
  if (remaining < 0) malformed("zstd: a distribution with too many states");
  result.symbols = symbol;
  return in.bytes();
}

void build_states(const Distribution& distribution, std::span<State> table) {
  const size_t size = size_t{1} << distribution.log, mask = size - 1;
  std::array<uint16_t, FSE_SYMBOLS> next;
  size_t high = size;
  for (unsigned symbol = 0; symbol < distribution.symbols; symbol++) {
    int count = distribution.counts[symbol];
    if (count < 0) table[--high].symbol = static_cast<uint8_t>(symbol);
    next[symbol] = static_cast<uint16_t>(count < 0 ? 1 : count);
  }
  const size_t step = (size >> 1) + (size >> 3) + 3;
  size_t at = 0;
  for (unsigned symbol = 0; symbol < distribution.symbols; symbol++)
    for (int i = 0; i < distribution.counts[symbol]; i++) {
      table[at].symbol = static_cast<uint8_t>(symbol);
      do at = (at + step) & mask;
      while (at >= high && high > 0);
    }
  if (at != 0) malformed("zstd: a damaged distribution");
  for (size_t i = 0; i < size; i++) {
    State& state = table[i];
    unsigned rank = next[state.symbol]++;
    state.bits = static_cast<uint8_t>(distribution.log + 1 - std::bit_width(rank));
    state.next = static_cast<uint16_t>((rank << state.bits) - size);
  }
}

}  // namespace caisson::zstd
