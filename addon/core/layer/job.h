// One archive on its way into a directory: three threads, from start to result.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/compress/decode.h"
#include "core/fault.h"
#include "core/hash/sha256.h"
#include "core/layer/applier.h"
#include "core/layer/location.h"
#include "core/layer/pipe.h"
#include "core/layer/source.h"

namespace caisson {

struct JobOptions {
  ApplyOptions apply;
  Compression compression = Compression::Auto;
  bool digests = true;  // compute them even when nothing is expected of them
  // What they must be ("sha256:..."); empty: anything.
  std::string digest, diff_id;
  bool wants_digest() const { return digests || !digest.empty(); }
  // Of an archive that is not compressed it is the digest too.
  bool wants_diff_id() const { return wants_digest() || !diff_id.empty(); }
  std::optional<uint64_t> size;  // what the number of compressed bytes must be
  bool sync = false;  // syncfs(2) at the end
};

struct JobResult {
  ApplyResult applied;
  Compression compression = Compression::None;
  uint64_t size = 0;        // bytes of the archive as it came
  uint64_t plain_size = 0;  // decompressed
  std::string digest, diff_id;
};

class Job : public std::enable_shared_from_this<Job> {
 public:
  // Called on the job's threads.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Every now and then.
    virtual void progress(uint64_t bytes, uint64_t entries) = 0;
    // Last, one of the two.
    virtual void done(JobResult result) = 0;
    virtual void failed(Fault fault) = 0;
  };

  // Throws std::system_error when there are no threads left.
  static std::shared_ptr<Job> start(JobOptions options, Location directory, std::shared_ptr<Source> source,
                                    std::unique_ptr<FileSystem> files, std::unique_ptr<Listener> listener);

  // From any thread: it ends with a Fault (Cancelled), soon.
  void cancel();
  // The same; afterwards no memory of the source's chunks is in use any more.
  void abandon();

 private:
  class Counter;

  Job(JobOptions options, Location directory, std::shared_ptr<Source> source, std::unique_ptr<FileSystem> files,
      std::unique_ptr<Listener> listener);
  void run();
  void apply();
  void decode();
  void hash();
  void check();
  void conclude();
  template <typename Work>
  void guard(Work work);
  void fail(Fault fault);

  const JobOptions options_;
  Location location_;
  Fd directory_;
  const std::shared_ptr<Source> source_;
  const std::unique_ptr<FileSystem> files_;
  const std::unique_ptr<Listener> listener_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<uint64_t> bytes_ = 0, entries_ = 0;
  Pipe pipe_;
  JobResult result_;

  std::mutex mutex_;
  std::condition_variable helper_done_;
  int helpers_ = 0;
  std::optional<Fault> fault_;  // the first
};

}  // namespace caisson
