// Bytes for test programs and fuzzers: where they come from, where they go, and what other libraries make of them.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "core/compress/decode.h"
#include "core/fault.h"

namespace test {

// In pieces of `piece` bytes, each in memory of its own: reading beyond one is noticed.
class PieceInput : public caisson::Input {
 public:
  PieceInput(const std::string& bytes, size_t piece) : bytes_(bytes), piece_(piece) {}
  std::span<const uint8_t> next() override {
    size_t size = std::min(piece_, bytes_.size() - at_);
    current_ = std::make_unique<uint8_t[]>(size);
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), size, current_.get());
    at_ += size;
    return {current_.get(), size};
  }

 private:
  const std::string& bytes_;
  const size_t piece_;
  size_t at_ = 0;
  std::unique_ptr<uint8_t[]> current_;
};

// Collects all, up to a bound.
class TextOutput : public caisson::Output {
 public:
  static constexpr size_t BLOCK = 4096, MAX = 8 << 20;
  TextOutput() { turn(); }
  void turn() override {
    auto fresh = std::make_unique<char[]>(HISTORY + BLOCK + SLACK);
    if (block_) {
      text_.append(written(), at);
      size_t history = std::min<size_t>(HISTORY, static_cast<size_t>(at - bytes()));
      std::copy_n(at - history, history, fresh.get() + HISTORY - history);
    }
    block_ = std::move(fresh);
    at = written();
    end = at + BLOCK;
    if (text_.size() > MAX) caisson::over_limit("enough");
  }
  // After a fault as well, that of the bound included.
  std::string take() {
    text_.append(written(), at);
    return std::move(text_);
  }

 private:
  uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(block_.get()); }
  uint8_t* written() const { return bytes() + HISTORY; }

  std::unique_ptr<char[]> block_;
  std::string text_;
};

inline std::optional<caisson::Fault> decode(caisson::Compression compression, const std::string& packed, size_t piece,
                                            std::string& found) {
  PieceInput input(packed, piece);
  caisson::ByteReader in(input);
  TextOutput out;
  auto fault = caisson::guarded([&] { caisson::decode(compression, in, out); });
  found = out.take();
  return fault;
}

// With repetitions, so that something can be compressed.
inline std::string noise(std::mt19937& random, size_t size) {
  std::string data(size, '\0');
  unsigned kinds = 1 + random() % 256;
  for (size_t i = 0; i < size; i++)
    data[i] = i > 100 && random() % 3 ? data[i - 1 - random() % 100] : static_cast<char>(random() % kinds);
  return data;
}

inline std::string gzip(const std::string& plain, int level) {
  z_stream stream = {};
  deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string zstd(const std::string& plain, int level) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), level));
  return out;
}

}  // namespace test
