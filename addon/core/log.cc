#include "core/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <cstdio>
#include <cstring>

namespace caisson {

namespace {

uint64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

Result<> Log::open() {
  file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) return failed("log", "open", path_);
  struct stat status;
  if (fstat(file_.get(), &status) == 0) written_ = static_cast<uint64_t>(status.st_size);
  return Nothing{};
}

void Log::add(int stream, const char* bytes, size_t size) {
  Line& line = lines_[stream];
  while (size > 0) {
    const void* newline = memchr(bytes, '\n', size);
    size_t piece = newline ? static_cast<size_t>(static_cast<const char*>(newline) - bytes) + 1 : size;
    if (line.bytes.empty()) line.time_ns = now_ns();
    bool ends = newline != nullptr || line.bytes.size() + piece >= LINE_MAX_BYTES;
    if (ends)
      append(stream, line, bytes, piece);
    else
      line.bytes.append(bytes, piece);
    bytes += piece;
    size -= piece;
  }
  flush();
}

void Log::append(int stream, Line& line, const char* bytes, size_t size) {
  LogRecord record = {};
  record.length = static_cast<uint32_t>(line.bytes.size() + size);
  record.stream = static_cast<uint8_t>(stream + 1);
  record.time_ns = line.time_ns;
  pending_.append(reinterpret_cast<const char*>(&record), sizeof record);
  pending_.append(line.bytes);
  pending_.append(bytes, size);
  line.bytes.clear();
}

void Log::flush() {
  if (pending_.empty() || !file_) return;
  if (written_ + pending_.size() > limit_ / 2 && written_ > 0) {
    std::string older = path_ + ".1";
    if (rename(path_.c_str(), older.c_str()) == 0) {
      file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
      written_ = 0;
    }
  }
  // One write a batch: a reader never sees half a record but at the very end, and waits for the rest there. On a full disk
  // none comes: then it is taken away, or the program's words that follow would be taken for a record's head.
  ssize_t n = file_ ? write(file_.get(), pending_.data(), pending_.size()) : -1;
  if (n == static_cast<ssize_t>(pending_.size()))
    written_ += pending_.size();
  else if (n > 0)
    (void)!ftruncate(file_.get(), static_cast<off_t>(written_));
  pending_.clear();
}

void Log::finish() {
  for (int stream = 0; stream < 2; stream++)
    if (!lines_[stream].bytes.empty()) append(stream, lines_[stream], "", 0);
  flush();
}

}  // namespace caisson
