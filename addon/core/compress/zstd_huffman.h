// Huffman coding of literals in zstd (RFC 8878, section 4.2).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/compress/zstd_bits.h"

namespace caisson::zstd {

class Huffman {
 public:
  static constexpr unsigned BITS = 11;

  // Reads the description of the tree; returns the number of bytes that it takes. Throws a Fault.
  size_t read(std::span<const uint8_t> data);
  bool ready() const { return ready_; }
  void reset() { ready_ = false; }

  // Fill `out` exactly, and use `data` up exactly; otherwise throw a Fault.
  void decode_one(std::span<const uint8_t> data, std::span<uint8_t> out) const;
  void decode_four(std::span<const uint8_t> data, std::span<uint8_t> out) const;

 private:
  void drain(BackwardBits in, std::span<uint8_t> out) const;

  // Low byte: bits of the code; high byte: the symbol. Indexed by the next BITS bits.
  std::array<uint16_t, 1 << BITS> table_;
  bool ready_ = false;
};

}  // namespace caisson::zstd
