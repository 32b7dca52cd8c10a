// Packs a tree, and unpacks it again from each compression and in pieces of any size, several at a time; some are
// cancelled. For sanitizers and valgrind.
//   archives DIRECTORY ROUNDS THREADS
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <future>
#include <random>

#include "core/layer/differ.h"
#include "core/layer/job.h"
#include "core/layer/packer.h"
#include "core/layer/remove.h"
#include "core/layer/settle.h"
#include "core/layer/task.h"
#include "test/bytes.h"
#include "test/check.h"

using namespace caisson;

namespace {

std::string scratch;

Fd directory(const std::string& path) { return Fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

void write_file(const std::string& path, const std::string& content) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
  CHECK(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
}

// Of what archives hold: files of all sizes, links, a FIFO, a file with a hole, long names.
void make_tree(const std::string& at, std::mt19937& random) {
  mkdir(at.c_str(), 0755);
  for (int i = 0; i < 20; i++) {
    std::string below = at + "/" + std::string(i * 8 + 1, static_cast<char>('a' + i));
    mkdir(below.c_str(), 0700 + i);
    std::string content(random() % 70000, ' ');
    for (char& byte : content) byte = static_cast<char>(random() % (i + 2));
    write_file(below + "/file", content);
    CHECK(link((below + "/file").c_str(), (below + "/hard").c_str()) == 0);
    CHECK(symlink("../nowhere", (below + "/soft").c_str()) == 0);
  }
  CHECK(mkfifo((at + "/fifo").c_str(), 0600) == 0);
  Fd sparse(open((at + "/sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CHECK(pwrite(sparse.get(), "end", 3, 1 << 20) == 3);
}

std::string pack(const std::string& at, PackResult* result = nullptr) {
  std::string bytes;
  std::atomic<bool> cancelled = false;
  FileSystem files;
  Fd root = directory(at);
  PackOptions options;
  options.subseconds = true;
  auto fault = guarded([&] {
    PackResult packed = Packer(files, root.get(), options, [&](const uint8_t* data, size_t size) {
                          bytes.append(reinterpret_cast<const char*>(data), size);
                        }, cancelled).run();
    if (result) *result = packed;
  });
  CHECK(!fault);
  return bytes;
}

class Waiter : public Job::Listener {
 public:
  explicit Waiter(std::promise<std::optional<JobResult>>& promise) : promise_(promise) {}
  void progress(uint64_t, uint64_t) override {}
  void done(JobResult result) override { promise_.set_value(std::move(result)); }
  void failed(Fault) override { promise_.set_value(std::nullopt); }

 private:
  std::promise<std::optional<JobResult>>& promise_;
};

std::optional<JobResult> apply(const std::string& bytes, const std::string& at, size_t piece, int cancel_after_us = -1) {
  mkdir(at.c_str(), 0755);
  std::promise<std::optional<JobResult>> promise;
  auto result = promise.get_future();
  auto source = std::make_shared<ChunkSource>();
  JobOptions options;
  options.apply.overlay_xattrs = "user";
  Location location;
  location.path = at;
  auto job = Job::start(std::move(options), std::move(location), source, std::make_unique<FileSystem>(),
                        std::make_unique<Waiter>(promise));
  std::atomic<int> open = 0;
  for (size_t from = 0; from < bytes.size(); from += piece) {
    open++;
    source->push(reinterpret_cast<const uint8_t*>(bytes.data()) + from, std::min(piece, bytes.size() - from),
                 [&](bool) { open--; });
  }
  source->end();
  if (cancel_after_us >= 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(cancel_after_us));
    job->abandon();
  }
  auto found = result.get();
  for (int i = 0; i < 1000 && open > 0; i++) usleep(1000);
  CHECK(open == 0);
  return found;
}

void remove(const std::string& name) {
  FileSystem files;
  Fd above = directory(scratch);
  CHECK(!guarded([&] { remove_tree(files, above.get(), name.c_str()); }));
}

void once(int number) {
  std::mt19937 random(static_cast<unsigned>(number));
  const std::string name = "tree" + std::to_string(number), tree = scratch + "/" + name;
  make_tree(tree, random);
  PackResult packed;
  const std::string plain = pack(tree, &packed);
  for (const std::string& archive : {plain, test::gzip(plain, 6), test::zstd(plain, 5)}) {
    const std::string copy = name + "copy";
    auto result = apply(archive, scratch + "/" + copy, 1 + random() % 100000);
    CHECK(result && result->diff_id == packed.diff_id);
    CHECK(pack(scratch + "/" + copy) == plain);
    FileSystem files;
    std::atomic<bool> cancelled = false;
    Fd upper = directory(scratch + "/" + copy), lower = directory(tree);
    DiffOptions options;
    options.xattrs = "user";
    CHECK(!guarded([&] { find_changes(files, upper.get(), {lower.get()}, options, cancelled); }));
    CHECK(!guarded([&] { settle(files, upper.get(), {lower.get()}, "user", result ? result->applied.unsettled : std::vector<Unsettled>()); }));
    remove(copy);
    // Torn off, damaged, cancelled at any time: it ends, and nothing is in use any more.
    apply(archive.substr(0, random() % archive.size()), scratch + "/" + copy, 5000);
    std::string damaged = archive;
    for (int i = 0; i < 5; i++) damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    apply(damaged, scratch + "/" + copy, 70000);
    apply(archive, scratch + "/" + copy, 70000, static_cast<int>(random() % 3000));
    remove(copy);
  }
  remove(name);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 125;
  umask(0);
  scratch = arguments[1];
  check::in_threads(arguments, [](int thread, int round) { once(thread * 1000 + round); });
  std::promise<void> ended;
  auto task = Task::start([](const std::atomic<bool>& cancelled) { while (!cancelled) usleep(100); },
                          [&](std::optional<Fault>) { ended.set_value(); });
  task->cancel();
  ended.get_future().wait();
  return check::result();
}
