// A file whose content is hashed from its first byte on: while it is written, or when it is there and has to be verified.
//
// What it is asked for is done one after the other on a thread of its own, which lives from the first wish to close():
// disks that are slow keep nobody else waiting. After a failure everything fails with it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/fd.h"
#include "core/hash/hasher.h"
#include "core/result.h"

namespace caisson {

class BlobFile : public std::enable_shared_from_this<BlobFile> {
 public:
  // Called once, on the file's thread, or at once when there is none.
  template <typename T>
  using Done = std::function<void(Result<T>)>;

  // The descriptor is duplicated; `path` is for errors.
  static std::shared_ptr<BlobFile> open(int fd, Hasher hasher, std::string path);

  // Hashes what is there from where it stands up to the byte `end`, and goes on behind that: at which byte.
  void resume(uint64_t end, Done<uint64_t> done);
  // Until `done` is called the memory must stay as it is.
  void write(const uint8_t* data, size_t size, Done<Nothing> done);
  // fdatasync(2).
  void sync(Done<Nothing> done);
  // Of all that was resumed and written; nothing may follow.
  void digest(Done<std::string> done);
  // Once. What is asked for and not begun fails with ECANCELED. `done`: the file is closed, and nothing is going on.
  void close(std::function<void()> done);
  // From any thread, at any time: closes it. When it returns no memory of write() is in use any more.
  void abandon();

 private:
  struct Wish {
    std::function<void()> grant;
    bool borrows;  // reads memory of whoever wishes
  };

  BlobFile(int fd, Hasher hasher, std::string path);
  template <typename T, typename Work>
  void post(Done<T> done, Work work, bool borrows = false);
  void run();
  Result<uint64_t> read_to(uint64_t end);
  Result<> append(const uint8_t* data, size_t size);
  Failure failure(const char* syscall, int error = errno) const { return failed("store", syscall, path_, error); }

  const std::string path_;
  // Of the thread.
  Fd fd_;
  Hasher hasher_;
  uint64_t at_ = 0;
  std::optional<Failure> failure_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Wish> queue_;
  std::function<void()> closed_;
  bool started_ = false, borrowing_ = false, closing_ = false;
  std::atomic<bool> stopped_ = false;
};

}  // namespace caisson
