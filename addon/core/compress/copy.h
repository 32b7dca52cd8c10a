// Copies of a few bytes at a time, which may write more than they were asked to: up to 15 bytes behind the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/bytes.h"

namespace caisson {

inline constexpr size_t COPY_SLACK = 16;

inline void copy8(uint8_t* to, const uint8_t* from) { memcpy(to, from, 8); }

inline void copy16(uint8_t* to, const uint8_t* from) {
  uint8_t piece[16];
  memcpy(piece, from, 16);
  memcpy(to, piece, 16);
}

// Between buffers that do not overlap, or with `to` at least 16 bytes behind `from`. Copies 16 bytes at least, and
// reads as far as it writes.
inline void copy_far(uint8_t* to, const uint8_t* from, size_t length) {
  uint8_t* const end = to + length;
  do {
    copy16(to, from);
    to += 16;
    from += 16;
  } while (to < end);
}

// What stands `distance` bytes before `to`, repeated when it is shorter than `length`.
inline void copy_match(uint8_t* to, size_t distance, size_t length) {
  const uint8_t* from = to - distance;
  uint8_t* const end = to + length;
  if (distance >= 16) return copy_far(to, from, length);
  if (distance == 1) {
    const uint64_t bytes = uint64_t{0x0101010101010101} * *from;
    do {
      store_native64(to, bytes);
      to += 8;
    } while (to < end);
    return;
  }
  // With each copy twice as many of the bytes that repeat stand before `to`, until eight can be copied at once.
  for (; distance < 8; distance *= 2) {
    copy8(to, from);
    to += distance;
  }
  while (to < end) {
    copy8(to, from);
    to += 8;
    from += 8;
  }
}

}  // namespace caisson
