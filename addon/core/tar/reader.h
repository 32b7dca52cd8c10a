// Reads tar archives as a stream: v7, ustar, GNU and pax.
//
// It is strict where programs disagree about an archive, because what one reader skips and another one takes for a
// header can hide members: two extended headers for one member, a name from GNU and one from pax, a size that differs
// between header and extended header, data behind members that have none.
#pragma once

#include <optional>

#include "core/compress/stream.h"
#include "core/tar/entry.h"
#include "core/tar/header.h"
#include "core/tar/pax.h"

namespace caisson::tar {

// Extended headers, and long names of GNU.
inline constexpr size_t META_MAX = 1 << 20;

enum class End {
  Strict,   // two blocks of zeros, and nothing but zeros behind them
  Lenient,  // as GNU tar: one block, or the end of the input, is enough, and what is behind is not looked at
};

class Reader {
 public:
  explicit Reader(ByteReader& in, End end = End::Strict) : in_(in), end_(end) {}

  // The next member; what is left of the one before is skipped. False at the end, when all input has been read.
  // Throws a Fault; Fault::entry is set when the member's name is known.
  bool next(Entry& entry);

  // The next piece of the member's stored bytes; empty when there are no more.
  std::span<const uint8_t> data();

 private:
  // What stands before a member's header.
  struct Meta {
    std::optional<Pax> pax;
    std::optional<std::string> name, link;
  };

  bool read_header(Header& header);
  bool read_meta(const Header& header, Meta& meta);
  std::string read_long(uint64_t size);
  void fill(const Header& header, Meta& meta, Entry& entry);
  void name_it(const Header& header, Meta& meta, Entry& entry);
  void skip();
  void drain();

  ByteReader& in_;
  const End end_;
  Pax global_;
  uint64_t left_ = 0;     // stored bytes of the member
  uint64_t padding_ = 0;  // behind them
};

}  // namespace caisson::tar
