// Between the thread that decodes and those that read what it puts out: a ring of blocks of memory.
//
// There are two readers, and each sees every block: one applies, one computes the digest. On two processors the three
// threads share the work by themselves.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/compress/stream.h"
#include "core/fault.h"

namespace caisson {

class Pipe {
 public:
  static constexpr size_t BLOCKS = 6, BLOCK_SIZE = 256 << 10, READERS_MAX = 2;

  // `cancelled` is looked at whenever a thread would wait.
  Pipe(size_t readers, const std::atomic<bool>& cancelled);

  // Wakes all who wait, for when `cancelled` has been set.
  void wake();

  // The writer's side. `check` is called with the number of bytes that have passed, before the last of them can be read;
  // what it throws, the writer throws.
  Output& output() { return writer_; }
  void check_size(std::function<void(uint64_t)> check) { check_ = std::move(check); }
  // After the last byte.
  void close();
  // Instead of close(): every reader throws this when it has read what came before.
  void fail(Fault fault);

  // The side of reader 0 or 1. It throws what the writer failed with.
  Input& input(size_t reader) { return readers_[reader]; }
  // The reader will not come back.
  void leave(size_t reader);

  // Bytes that have passed.
  uint64_t written() const { return written_.load(std::memory_order_relaxed); }

 private:
  struct Block {
    std::unique_ptr<uint8_t[]> memory;
    size_t size = 0;
    uint8_t* data() const { return memory.get() + Output::HISTORY; }
  };

  class Writer : public Output {
   public:
    explicit Writer(Pipe& pipe) : pipe_(pipe) {}
    void turn() override { pipe_.turn(); }

   private:
    Pipe& pipe_;
  };

  class Reader : public Input {
   public:
    std::span<const uint8_t> next() override { return pipe->read(*this); }
    Pipe* pipe = nullptr;
    uint64_t at = 0;       // number of the block to be read next
    bool holding = false;  // the one before is still in use
  };

  void turn();
  void publish();
  std::span<const uint8_t> read(Reader& reader);
  uint64_t oldest() const;

  const size_t reader_count_;
  const std::atomic<bool>& cancelled_;
  std::array<Block, BLOCKS> blocks_;
  Writer writer_{*this};
  std::function<void(uint64_t)> check_;
  std::array<Reader, READERS_MAX> readers_;
  std::atomic<uint64_t> written_ = 0;

  std::mutex mutex_;
  std::condition_variable room_, filled_;
  uint64_t at_ = 0;  // number of the block that is being written; block n lives in blocks_[n % BLOCKS]
  bool closed_ = false;
  std::optional<Fault> fault_;
};

}  // namespace caisson
