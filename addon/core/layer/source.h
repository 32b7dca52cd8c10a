// Where the bytes of an archive come from: a file, or chunks that somebody brings.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "core/compress/stream.h"
#include "core/fd.h"
#include "core/layer/location.h"

namespace caisson {

// An input that can be stopped while it waits.
class Source : public Input {
 public:
  // From any thread: next() throws a Fault (Cancelled) from now on.
  virtual void stop() = 0;
  // After stop(): waits until the piece that next() gave last is no longer in use.
  virtual void settle() {}
  // The reader is done with the piece that next() gave last, and calls no more.
  virtual void finished() {}
};

// Reads a descriptor from where it stands: a file, a pipe or a socket.
class FileSource : public Source {
 public:
  // It is opened by the first next().
  explicit FileSource(Location location) : location_(std::move(location)) {}
  std::span<const uint8_t> next() override;
  void stop() override;

 private:
  void open();

  Location location_;
  Fd fd_;
  StopEvent stopping_;
  bool blocks_ = false;  // may have to wait for its bytes
  std::unique_ptr<uint8_t[]> buffer_;
};

// Chunks of memory that belong to somebody else until they are read.
class ChunkSource : public Source {
 public:
  // Called once for every chunk, on any thread: whether it was read.
  using Done = std::function<void(bool)>;

  ~ChunkSource() override;
  void push(const uint8_t* data, size_t size, Done done);
  // After the last chunk.
  void end();

  std::span<const uint8_t> next() override;
  void stop() override;
  void settle() override;
  void finished() override;

 private:
  struct Chunk {
    const uint8_t* data;
    size_t size;
    Done done;
  };

  void release();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Chunk> chunks_;
  Done reading_;  // of the chunk that is being read
  bool ended_ = false, stopped_ = false;
};

}  // namespace caisson
