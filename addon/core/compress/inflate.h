// DEFLATE (RFC 1951) and gzip (RFC 1952), decoded as a stream.
#pragma once

#include <memory>

#include "core/compress/inflate_tables.h"
#include "core/compress/stream.h"

namespace caisson {

// All members of a gzip file, up to the end of the input: what follows the last one must be another one.
void decode_gzip(ByteReader& in, Output& out);

class Inflater {
 public:
  Inflater(ByteReader& in, Output& out) : in_(in), out_(out), own_(std::make_unique<deflate::Tables>()) {}

  // Decodes one DEFLATE stream; what it puts out refers to nothing before it. Throws a Fault.
  void run();

  // The next byte behind the stream, for what frames it.
  uint8_t byte();
  // True when the input ends here.
  bool at_end() { return count_ == 0 && !in_.more(); }

  // Of what the last stream put out.
  uint32_t crc() const { return crc_; }
  uint64_t size() const { return size_; }

 private:
  void stored();
  void dynamic();
  void codes(const deflate::Tables& tables);
  bool fast(const deflate::Tables& tables);
  bool slow(const deflate::Tables& tables);
  void copy(size_t distance, size_t length);

  void fill(unsigned wanted);
  uint32_t take(unsigned bits);
  uint32_t decode(const uint32_t* table, unsigned root);
  void account();
  void turn();

  ByteReader& in_;
  Output& out_;
  std::unique_ptr<deflate::Tables> own_;
  uint64_t bits_ = 0;   // the next bits of the input, lowest first; zero above `count_`
  unsigned count_ = 0;  // how many
  const uint8_t* low_ = nullptr;   // the oldest byte of this stream that is still in memory
  const uint8_t* mark_ = nullptr;  // from here on what was put out is not in crc_ and size_
  uint32_t crc_ = 0;
  uint64_t size_ = 0;
};

}  // namespace caisson
