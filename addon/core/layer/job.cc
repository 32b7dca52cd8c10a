#include "core/layer/job.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/threads.h"

namespace caisson {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto PROGRESS_EVERY = std::chrono::milliseconds(50);
// Below this many bytes no ratio says anything.
constexpr uint64_t RATIO_FROM = 1 << 20;

}  // namespace

// Counts and hashes what passes. A piece is hashed when it has been decoded: by then it is known whether that is needed.
class Job::Counter : public Input {
 public:
  explicit Counter(Job& job) : job_(job) {}

  std::span<const uint8_t> next() override {
    if (hashes) sha256_.update(piece_.data(), piece_.size());
    piece_ = job_.source_->next();
    job_.bytes_ += piece_.size();
    if (job_.options_.size && job_.bytes_ > *job_.options_.size)
      throw Fault{Fault::Kind::Digest, "the archive is larger than " + std::to_string(*job_.options_.size) + " bytes"};
    if (auto now = Clock::now(); now - told_ > PROGRESS_EVERY) {
      told_ = now;
      job_.listener_->progress(job_.bytes_, job_.entries_);
    }
    return piece_;
  }

  std::string digest() { return sha256_.finish_text(); }
  bool hashes = true;

 private:
  Job& job_;
  std::span<const uint8_t> piece_;
  Sha256 sha256_;
  Clock::time_point told_ = Clock::now();
};

Job::Job(JobOptions options, Location directory, std::shared_ptr<Source> source, std::unique_ptr<FileSystem> files,
         std::unique_ptr<Listener> listener)
    : options_(std::move(options)),
      location_(std::move(directory)),
      source_(std::move(source)),
      files_(std::move(files)),
      listener_(std::move(listener)),
      pipe_(options_.wants_diff_id() ? 2 : 1, cancelled_) {
  const ApplyLimits& limits = options_.apply.limits;
  pipe_.check_size([this, &limits](uint64_t size) {
    if (size > limits.bytes) over_limit("more than " + std::to_string(limits.bytes) + " bytes when decompressed");
    if (limits.ratio > 0 && size > RATIO_FROM && size / limits.ratio > bytes_)
      over_limit("more than " + std::to_string(limits.ratio) + " times as large when decompressed");
  });
}

std::shared_ptr<Job> Job::start(JobOptions options, Location directory, std::shared_ptr<Source> source,
                                std::unique_ptr<FileSystem> files, std::unique_ptr<Listener> listener) {
  std::shared_ptr<Job> job(new Job(std::move(options), std::move(directory), std::move(source), std::move(files),
                                   std::move(listener)));
  start_thread([job] { job->run(); });
  return job;
}

void Job::cancel() {
  cancelled_ = true;
  pipe_.wake();
  source_->stop();
}

void Job::abandon() {
  cancel();
  source_->settle();
}

// The first that goes wrong counts; the others stop.
void Job::fail(Fault fault) {
  {
    std::lock_guard lock(mutex_);
    if (!fault_) fault_ = std::move(fault);
  }
  cancelled_ = true;
  pipe_.wake();
}

template <typename Work>
void Job::guard(Work work) {
  if (auto fault = guarded(std::move(work))) fail(std::move(*fault));
}

void Job::run() {
  auto help = [this](void (Job::*part)()) {
    {
      std::lock_guard lock(mutex_);
      helpers_++;
    }
    auto leave = [this] {
      std::lock_guard lock(mutex_);
      helpers_--;
      helper_done_.notify_all();
    };
    try {
      start_thread([self = shared_from_this(), part, leave] {
        self->guard([&] { (self.get()->*part)(); });
        leave();
      });
    } catch (...) {
      leave();
      throw;
    }
  };
  guard([&] {
    directory_ = location_.open("the directory to unpack to", O_PATH | O_DIRECTORY);
    if (options_.wants_diff_id()) help(&Job::hash);
    help(&Job::decode);
    apply();
  });
  if (cancelled_) source_->stop();
  {
    std::unique_lock lock(mutex_);
    helper_done_.wait(lock, [this] { return helpers_ == 0; });
  }
  source_->finished();
  if (!fault_) guard([&] { check(); });
  conclude();
}

void Job::decode() {
  Counter input(*this);
  ByteReader in(input);
  auto fault = guarded([&] {
    result_.compression = options_.compression == Compression::Auto ? detect(in) : options_.compression;
    input.hashes = options_.wants_digest() && result_.compression != Compression::None;
    caisson::decode(result_.compression, in, pipe_.output());
    pipe_.close();
  });
  source_->finished();
  if (fault) {
    pipe_.fail(*fault);
    throw *fault;
  }
  if (input.hashes) result_.digest = input.digest();
}

void Job::hash() {
  Sha256 sha256;
  Input& input = pipe_.input(1);
  for (auto piece = input.next(); !piece.empty(); piece = input.next()) sha256.update(piece.data(), piece.size());
  result_.diff_id = sha256.finish_text();
}

void Job::apply() {
  ByteReader in(pipe_.input(0));
  result_.applied = Applier(*files_, directory_.get(), options_.apply, entries_, cancelled_).run(in);
}

void Job::check() {
  result_.size = bytes_;
  result_.plain_size = pipe_.written();
  if (result_.compression == Compression::None) result_.digest = result_.diff_id;
  auto compare = [](const char* what, const std::string& wanted, const std::string& found) {
    if (!wanted.empty() && wanted != found)
      throw Fault{Fault::Kind::Digest, std::string("its ") + what + " is " + found + ", not " + wanted};
  };
  if (options_.size && *options_.size != result_.size)
    compare("size", std::to_string(*options_.size), std::to_string(result_.size));
  compare("digest", options_.digest, result_.digest);
  compare("diffID", options_.diff_id, result_.diff_id);
  if (!options_.sync) return;
  // syncfs(2) takes no O_PATH descriptor.
  Fd readable(openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!readable || syncfs(readable.get()) < 0) system_fault("writing to the disk", "syncfs");
}

void Job::conclude() {
  if (fault_)
    listener_->failed(std::move(*fault_));
  else
    listener_->done(std::move(result_));
}

}  // namespace caisson
