// Finite state entropy: the distributions and decoding tables of zstd (RFC 8878, section 4.1).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace caisson::zstd {

inline constexpr unsigned FSE_SYMBOLS = 256, FSE_LOG_MAX = 9;

// How many of the 2^log states each symbol has; -1 is one state that takes all bits.
struct Distribution {
  unsigned log = 0;
  unsigned symbols = 0;
  std::array<int16_t, FSE_SYMBOLS> counts{};
};

// Returns the number of bytes that it takes. Throws a Fault.
size_t read_distribution(std::span<const uint8_t> data, unsigned symbols_max, unsigned log_max, Distribution& result);

struct State {
  uint16_t next;  // to be added to the bits that are read
  uint8_t bits;
  uint8_t symbol;
};

// table[0 .. 2^log). Throws a Fault.
void build_states(const Distribution& distribution, std::span<State> table);

}  // namespace caisson::zstd
