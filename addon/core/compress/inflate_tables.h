// Decoding tables of DEFLATE: one look-up with the next bits of the input gives what they mean.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace caisson::deflate {

// An entry, 32 bits:
//   0-5    bits to drop from the input: the code's, and the extra bits behind it
//   6      LITERAL: a byte to put out
//   7      SPECIAL: none of the others; see END, LINK, and otherwise the code is not in use
//   8-11   length: bits of the code alone, distance likewise; LINK: bits of the index into the second table
//   16-31  LITERAL: the byte; length, distance: without the extra bits; LINK: place of the second table
inline constexpr uint32_t LITERAL = 1 << 6, SPECIAL = 1 << 7, LINK = 1 << 14, END = 1 << 15;

inline constexpr unsigned LITERAL_BITS = 11, DISTANCE_BITS = 8, PRECODE_BITS = 7;
// The most entries that complete codes of at most 15 bits can need, with 288 and 32 symbols.
inline constexpr size_t LITERAL_ENTRIES = 2342, DISTANCE_ENTRIES = 402, PRECODE_ENTRIES = 128;

inline unsigned dropped(uint32_t entry) { return entry & 63; }
inline unsigned code_bits(uint32_t entry) { return (entry >> 8) & 15; }
inline uint32_t payload(uint32_t entry) { return entry >> 16; }

struct Tables {
  std::array<uint32_t, LITERAL_ENTRIES> literals;
  std::array<uint32_t, DISTANCE_ENTRIES> distances;
};

// From the lengths of the codes (RFC 1951, section 3.2.2). Throw a Fault for lengths that are no code.
void build_literals(std::span<const uint8_t> lengths, Tables& tables);
void build_distances(std::span<const uint8_t> lengths, Tables& tables);
void build_precode(std::span<const uint8_t> lengths, std::array<uint32_t, PRECODE_ENTRIES>& table);

// Those of blocks with fixed codes (section 3.2.6).
const Tables& fixed_tables();

}  // namespace caisson::deflate
