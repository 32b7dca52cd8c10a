#include "core/layer/pipe.h"

#include <algorithm>
#include <cstring>

namespace caisson {

Pipe::Pipe(size_t readers, const std::atomic<bool>& cancelled) : reader_count_(readers), cancelled_(cancelled) {
  for (Block& block : blocks_) block.memory.reset(new uint8_t[Output::HISTORY + BLOCK_SIZE + Output::SLACK]);
  for (Reader& reader : readers_) reader.pipe = this;
  // A match cannot reach before the start, but the bytes are copied along with the rest.
  memset(blocks_[0].memory.get(), 0, Output::HISTORY);
  writer_.at = blocks_[0].data();
  writer_.end = writer_.at + BLOCK_SIZE;
}

void Pipe::wake() {
  std::lock_guard lock(mutex_);
  room_.notify_all();
  filled_.notify_all();
}

// The first block that is still in use.
uint64_t Pipe::oldest() const {
  uint64_t first = at_;
  for (size_t i = 0; i < reader_count_; i++) {
    const Reader& reader = readers_[i];
    first = std::min(first, reader.at - (reader.holding ? 1 : 0));
  }
  return first;
}

// Gives the block that was written to the readers.
void Pipe::publish() {
  Block& block = blocks_[at_ % BLOCKS];
  block.size = writer_.at - block.data();
  const uint64_t total = written_.load(std::memory_order_relaxed) + block.size;
  if (check_) check_(total);
  written_.store(total, std::memory_order_relaxed);
  if (block.size == 0) return;
  std::lock_guard lock(mutex_);
  at_++;
  filled_.notify_all();
}

void Pipe::turn() {
  publish();
  const uint8_t* const end = writer_.at;
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return cancelled_ || at_ - oldest() < BLOCKS; });
  if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
  lock.unlock();
  Block& block = blocks_[at_ % BLOCKS];
  memmove(block.memory.get(), end - Output::HISTORY, Output::HISTORY);
  writer_.at = block.data();
  writer_.end = writer_.at + BLOCK_SIZE;
}

void Pipe::close() {
  publish();
  std::lock_guard lock(mutex_);
  closed_ = true;
  filled_.notify_all();
}

void Pipe::fail(Fault fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
  filled_.notify_all();
}

std::span<const uint8_t> Pipe::read(Reader& reader) {
  std::unique_lock lock(mutex_);
  if (reader.holding) {
    reader.holding = false;
    room_.notify_one();
  }
  filled_.wait(lock, [&] { return cancelled_ || reader.at < at_ || closed_ || fault_; });
  if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
  if (reader.at == at_) {
    if (fault_) throw *fault_;
    return {};
  }
  const Block& block = blocks_[reader.at % BLOCKS];
  reader.at++;
  reader.holding = true;
  return {block.data(), block.size};
}

void Pipe::leave(size_t index) {
  std::lock_guard lock(mutex_);
  readers_[index].at = ~uint64_t{0};
  readers_[index].holding = false;
  room_.notify_one();
}

}  // namespace caisson
