// What SHA-256 and SHA-512 have in common: the message is gathered into blocks, and padded at the end (FIPS 180-4, section 5.1).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace caisson {

// Sizes in bytes: of a block, and of the number at the message's end, which is its length in bits.
template <size_t BLOCK, size_t LENGTH>
class HashBlocks {
 public:
  // `fold(data, count)` takes whole blocks into the state.
  template <typename Fold>
  void add(const void* data, size_t size, Fold fold) {
    auto* at = static_cast<const uint8_t*>(data);
    size_t held = size_ % BLOCK;
    size_ += size;
    if (held > 0) {
      size_t taken = std::min(size, BLOCK - held);
      if (taken > 0) memcpy(pending_.data() + held, at, taken);
      if (held + taken < BLOCK) return;
      fold(pending_.data(), 1);
      at += taken;
      size -= taken;
    }
    if (size >= BLOCK) fold(at, size / BLOCK);
    if (size % BLOCK) memcpy(pending_.data(), at + size / BLOCK * BLOCK, size % BLOCK);
  }

  template <typename Fold>
  void end(Fold fold) {
    uint64_t bits = size_ * 8;
    const uint8_t mark = 0x80, zeros[2 * BLOCK] = {};
    add(&mark, 1, fold);
    size_t held = size_ % BLOCK;
    // Of a longer number all but the last 8 bytes stay zero.
    add(zeros, (held <= BLOCK - LENGTH ? BLOCK : 2 * BLOCK) - 8 - held, fold);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
    add(length, sizeof length, fold);
  }

 private:
  std::array<uint8_t, BLOCK> pending_;
  uint64_t size_ = 0;
};

}  // namespace caisson
