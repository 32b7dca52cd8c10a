#include "core/blob_file.h"

#include <fcntl.h>

#include <algorithm>
#include <new>
#include <system_error>

#include "core/threads.h"

namespace caisson {

namespace {

// Large enough for the disk, and small beside what a process has anyway.
constexpr size_t PIECE = 1 << 20;

}  // namespace

std::shared_ptr<BlobFile> BlobFile::open(int fd, Hasher hasher, std::string path) {
  return std::shared_ptr<BlobFile>(new BlobFile(fd, std::move(hasher), std::move(path)));
}

BlobFile::BlobFile(int fd, Hasher hasher, std::string path)
    : path_(std::move(path)), fd_(fcntl(fd, F_DUPFD_CLOEXEC, 3)), hasher_(std::move(hasher)) {
  // Whoever asks for something first is told.
  if (!fd_) failure_ = failure("dup");
}

template <typename T, typename Work>
void BlobFile::post(Done<T> done, Work work, bool borrows) {
  auto grant = [this, done, work = std::move(work)] {
    if (!failure_ && stopped_) failure_ = failure("close", ECANCELED);
    if (failure_) return done(*failure_);
    Result<T> result = work();
    if (!result) failure_ = result.failure();
    done(std::move(result));
  };
  std::unique_lock lock(mutex_);
  if (closing_) {
    lock.unlock();
    return done(failure("close", ECANCELED));
  }
  try {
    if (!started_) start_thread([self = shared_from_this()] { self->run(); });
    started_ = true;
  } catch (const std::system_error& error) {
    lock.unlock();
    return done(failure("pthread_create", error.code().value()));
  }
  queue_.push_back({std::move(grant), borrows});
  changed_.notify_all();
}

void BlobFile::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) break;
    Wish wish = std::move(queue_.front());
    queue_.pop_front();
    borrowing_ = wish.borrows;
    lock.unlock();
    wish.grant();
    lock.lock();
    borrowing_ = false;
    changed_.notify_all();
  }
  fd_.reset();
  auto closed = std::move(closed_);
  lock.unlock();
  if (closed) closed();
}

void BlobFile::resume(uint64_t end, Done<uint64_t> done) {
  post<uint64_t>(std::move(done), [this, end] { return read_to(end); });
}

void BlobFile::write(const uint8_t* data, size_t size, Done<Nothing> done) {
  post<Nothing>(std::move(done), [this, data, size] { return append(data, size); }, true);
}

void BlobFile::sync(Done<Nothing> done) {
  post<Nothing>(std::move(done), [this]() -> Result<> {
    int result;
    do result = fdatasync(fd_.get());
    while (result < 0 && errno == EINTR);
    if (result < 0) return failure("fdatasync");
    return Nothing{};
  });
}

void BlobFile::digest(Done<std::string> done) {
  post<std::string>(std::move(done), [this]() -> Result<std::string> { return hasher_.finish_text(); });
}

void BlobFile::close(std::function<void()> done) {
  std::unique_lock lock(mutex_);
  const bool first = !closing_;
  closing_ = true;
  stopped_ = true;
  if (first && started_) {
    closed_ = std::move(done);
    changed_.notify_all();
    return;
  }
  if (first) fd_.reset();
  lock.unlock();
  if (done) done();
}

void BlobFile::abandon() {
  close(nullptr);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !borrowing_; });
}

Result<uint64_t> BlobFile::read_to(uint64_t end) {
  std::unique_ptr<uint8_t[]> buffer(new (std::nothrow) uint8_t[PIECE]);
  if (!buffer) return failure("malloc", ENOMEM);
  while (at_ < end) {
    if (stopped_) return failure("close", ECANCELED);
    ssize_t size = pread(fd_.get(), buffer.get(), std::min<uint64_t>(PIECE, end - at_), static_cast<off_t>(at_));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failure("read");
    if (size == 0) break;
    hasher_.update(buffer.get(), static_cast<size_t>(size));
    at_ += static_cast<uint64_t>(size);
  }
  return at_;
}

Result<> BlobFile::append(const uint8_t* data, size_t size) {
  hasher_.update(data, size);
  while (size > 0) {
    ssize_t done = pwrite(fd_.get(), data, size, static_cast<off_t>(at_));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failure("write");
    data += done;
    size -= static_cast<size_t>(done);
    at_ += static_cast<uint64_t>(done);
  }
  return Nothing{};
}

}  // namespace caisson
