// What a container prints, kept in a file: one record a line, with the time at which the line began.
#pragma once

#include <cstdint>
#include <string>

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

// Before each record's bytes; native endian. lib/runtime/container/log.ts reads it.
struct LogRecord {
  uint32_t length;
  uint8_t stream;  // 1 stdout, 2 stderr
  uint8_t unused[3];
  uint64_t time_ns;  // since 1970
};

class Log {
 public:
  // The file grows to half of `limit`, then becomes PATH.1 in place of an older one: the newest half is always there.
  Log(std::string path, uint64_t limit) : path_(std::move(path)), limit_(limit) {}

  Result<> open();
  void add(int stream, const char* bytes, size_t size);
  // Writes out lines that have not ended yet.
  void finish();

 private:
  // A longer line is cut; without a bound a program could fill our memory with one.
  static constexpr size_t LINE_MAX_BYTES = 1 << 20;

  struct Line {
    std::string bytes;
    uint64_t time_ns = 0;
  };
  void append(int stream, Line& line, const char* bytes, size_t size);
  void flush();

  const std::string path_;
  const uint64_t limit_;
  Fd file_;
  uint64_t written_ = 0;
  Line lines_[2];
  std::string pending_;
};

}  // namespace caisson
