// The bit streams of zstd (RFC 8878): most are read from their end to their start.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/bytes.h"
#include "core/fault.h"

namespace caisson::zstd {

// Bits from the last byte down; the highest set bit of that byte marks the end (section 4.1). Reading before the start
// gives anything, and is found by `finished()`.
class BackwardBits {
 public:
  explicit BackwardBits(std::span<const uint8_t> data) : start_(data.data()) {
    if (data.empty() || data.back() == 0) malformed("zstd: a bit stream without an end mark");
    if (data.size() >= 8) {
      at_ = start_ + data.size() - 8;
      bits_ = load_le64(at_);
    } else {
      at_ = start_;
      for (size_t i = 0; i < data.size(); i++) bits_ |= static_cast<uint64_t>(data[i]) << (8 * i);
      taken_ = static_cast<unsigned>(8 * (8 - data.size()));
    }
    taken_ += static_cast<unsigned>(std::countl_zero(data.back())) + 1;
  }

  // Goes on where `taken` bits of the eight bytes at `at` are taken.
  BackwardBits(const uint8_t* start, const uint8_t* at, unsigned taken)
      : bits_(load_le64(at)), taken_(taken), at_(at), start_(start) {}

  // Afterwards 57 bits can be taken, or all that are left.
  void refill() {
    size_t bytes = taken_ >> 3;
    if (at_ - start_ < 8) [[unlikely]] bytes = std::min<size_t>(bytes, at_ - start_);
    if (bytes == 0) return;
    at_ -= bytes;
    taken_ -= static_cast<unsigned>(8 * bytes);
    bits_ = load_le64(at_);
  }

  uint64_t peek(unsigned count) const { return bits_ << (taken_ & 63) >> 1 >> (63 - count); }
  void skip(unsigned count) { taken_ += count; }
  uint64_t take(unsigned count) {
    uint64_t value = peek(count);
    skip(count);
    return value;
  }

  bool overrun() const { return taken_ > 64; }
  // All was read, and no more.
  bool finished() const { return at_ == start_ && taken_ == 64; }

 private:
  uint64_t bits_ = 0;
  unsigned taken_ = 0;  // of bits_, from the highest one
  const uint8_t* at_;
  const uint8_t* start_;
};

// Bits from the first byte up.
class ForwardBits {
 public:
  explicit ForwardBits(std::span<const uint8_t> data) : data_(data) {}

  // At most 16. Behind the end they are 0.
  uint32_t peek(unsigned count) const {
    uint32_t word = 0;
    for (size_t i = 0; i < 4 && (at_ >> 3) + i < data_.size(); i++)
      word |= static_cast<uint32_t>(data_[(at_ >> 3) + i]) << (8 * i);
    return word >> (at_ & 7) & ((1u << count) - 1);
  }
  void skip(unsigned count) { at_ += count; }
  // Bytes that were touched; throws when they are more than there are.
  size_t bytes() const {
    size_t bytes = (at_ + 7) / 8;
    if (bytes > data_.size()) malformed("zstd: a table ends too early");
    return bytes;
  }

 private:
  std::span<const uint8_t> data_;
  size_t at_ = 0;
};

}  // namespace caisson::zstd
