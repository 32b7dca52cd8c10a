// Compressed blocks of zstd (RFC 8878, section 3.1.1.3): literals, and sequences of copies.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "core/compress/copy.h"
#include "core/compress/zstd_fse.h"
#include "core/compress/zstd_huffman.h"

namespace caisson::zstd {

inline constexpr size_t BLOCK_MAX = 128 << 10;

// What was put out of a frame and can be referred to. The memory is used in turns: a block that does not fit at its end
// starts again at its beginning.
class Window {
 public:
  // For a new frame.
  void reset(size_t size);
  // Room for one block.
  uint8_t* open();
  // `out` is the end of what was written to the block.
  void close(uint8_t* out) { at_ = out; }

  // Copies from `distance` before `out`. False when that is before the frame.
  bool copy(uint8_t* out, size_t distance, size_t length) {
    size_t here = out - segment_;
    if (distance <= here) [[likely]] {
      copy_match(out, distance, length);
      return true;
    }
    return copy_older(out, distance, length);
  }

 private:
  bool copy_older(uint8_t* out, size_t distance, size_t length);

  std::unique_ptr<uint8_t[]> memory_;
  size_t capacity_ = 0;
  uint8_t* segment_ = nullptr;  // start of what was written since the last turn
  uint8_t* at_ = nullptr;
  uint8_t* older_end_ = nullptr;  // end of what was written before it
  size_t older_size_ = 0;
};

struct SequenceState {
  uint16_t next;
  uint8_t bits;
  uint8_t extra;  // bits to be read and added to `base`
  uint32_t base;
};

struct SequenceTable {
  std::array<SequenceState, 1 << FSE_LOG_MAX> states;
  unsigned log = 0;
  bool ready = false;
};

class BlockDecoder {
 public:
  BlockDecoder() : literals_(new uint8_t[BLOCK_MAX + COPY_SLACK]) {}

  // For a new frame.
  void reset();
  // Decodes one block to `out`, which has room for `size_max` and some slack; returns its end. Throws a Fault.
  uint8_t* run(std::span<const uint8_t> block, size_t size_max, Window& window, uint8_t* out);

 private:
  size_t read_literals(std::span<const uint8_t> block, size_t size_max);
  uint8_t* read_sequences(std::span<const uint8_t> data, size_t size_max, Window& window, uint8_t* out);

  Huffman huffman_;
  SequenceTable lengths_, distances_, matches_;
  std::array<size_t, 3> recent_;
  std::unique_ptr<uint8_t[]> literals_;
  size_t literals_size_ = 0;
};

}  // namespace caisson::zstd
