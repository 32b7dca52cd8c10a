#include "core/layer/source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "core/fault.h"

namespace caisson {

namespace {

constexpr size_t PIECE = 256 << 10;

[[noreturn]] void cancelled() { throw Fault{Fault::Kind::Cancelled, "cancelled"}; }

}  // namespace

void FileSource::open() {
  fd_ = location_.open("reading the archive", O_RDONLY | O_NOCTTY);
  struct stat status;
  if (fstat(fd_.get(), &status) < 0) system_fault("reading the archive", "fstat");
  blocks_ = !S_ISREG(status.st_mode);
  buffer_.reset(new uint8_t[PIECE]);
}

std::span<const uint8_t> FileSource::next() {
  if (!fd_) open();
  for (;;) {
    if (blocks_) stopping_.wait(fd_.get(), POLLIN);
    if (stopping_.set()) cancelled();
    ssize_t size = read(fd_.get(), buffer_.get(), PIECE);
    if (size >= 0) return {buffer_.get(), static_cast<size_t>(size)};
    if (errno != EINTR && errno != EAGAIN) system_fault("reading the archive", "read");
    blocks_ = blocks_ || errno == EAGAIN;
  }
}

void FileSource::stop() { stopping_.raise(); }

ChunkSource::~ChunkSource() { finished(); }

void ChunkSource::push(const uint8_t* data, size_t size, Done done) {
  std::unique_lock lock(mutex_);
  if (stopped_ || ended_) {
    lock.unlock();
    done(false);
    return;
  }
  chunks_.push_back({data, size, std::move(done)});
  changed_.notify_all();
}

void ChunkSource::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void ChunkSource::release() {
  if (!reading_) return;
  reading_(true);
  reading_ = nullptr;
  changed_.notify_all();
}

std::span<const uint8_t> ChunkSource::next() {
  std::unique_lock lock(mutex_);
  for (;;) {
    release();
    changed_.wait(lock, [this] { return stopped_ || ended_ || !chunks_.empty(); });
    if (stopped_) cancelled();
    if (chunks_.empty()) return {};
    Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    reading_ = std::move(chunk.done);
    // An empty piece would be the end.
    if (chunk.size > 0) return {chunk.data, chunk.size};
  }
}

void ChunkSource::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  auto left = std::move(chunks_);
  chunks_.clear();
  for (Chunk& chunk : left) chunk.done(false);
}

void ChunkSource::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !reading_; });
}

void ChunkSource::finished() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  release();
  for (Chunk& chunk : chunks_) chunk.done(false);
  chunks_.clear();
}

}  // namespace caisson
