// Between a decoder and the world: pieces of input are pulled, blocks of output are pushed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace caisson {

class Input {
 public:
  virtual ~Input() = default;
  // The next piece, which is valid until the next call; empty at the end, and then always.
  virtual std::span<const uint8_t> next() = 0;
};

// A block of memory to write to, with what was written before in front of it.
class Output {
 public:
  // As far as a match of DEFLATE reaches back.
  static constexpr size_t HISTORY = 32 << 10;
  // Bytes behind `end` that may be overwritten with anything, so that copies need no exact end.
  static constexpr size_t SLACK = 64;

  virtual ~Output() = default;
  // Gives away what was written, and moves `at` and `end` to new room. The last HISTORY bytes stand before `at` again.
  virtual void turn() = 0;

  void write(const uint8_t* data, size_t size);

  uint8_t* at = nullptr;
  uint8_t* end = nullptr;
};

// Input as bytes. Decoders may use `at` and `end` directly.
class ByteReader {
 public:
  explicit ByteReader(Input& input) : input_(input) {}

  size_t size() const { return end - at; }
  // False at the end of the input; otherwise there is at least one byte.
  bool more();
  // Makes `wanted` bytes contiguous at `at`; false when the input ends before.
  bool ensure(size_t wanted);
  // Throws a Fault (Malformed: truncated) at the end.
  uint8_t byte();

  const uint8_t* at = nullptr;
  const uint8_t* end = nullptr;

 private:
  Input& input_;
  std::vector<uint8_t> joined_;
};

}  // namespace caisson
