// Looks at a directory, digests it on several threads, with and without a book of digests, and writes it as a layer; some
// are cancelled in the middle. For sanitizers.
//   inventory DIRECTORY ROUNDS THREADS
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "core/inventory/archive.h"
#include "core/inventory/digests.h"
#include "core/inventory/inventory.h"
#include "core/layer/filesystem.h"
#include "core/layer/remove.h"
#include "test/check.h"

using namespace caisson;

namespace {

std::string scratch;
const std::atomic<bool> never = false;

void make_tree(const std::string& at, std::mt19937& random) {
  mkdir(at.c_str(), 0755);
  for (int i = 0; i < 30; i++) {
    const std::string below = at + "/d" + std::to_string(i % 7);
    mkdir(below.c_str(), 0750);
    std::string content(random() % 90000, static_cast<char>('a' + i % 26));
    Fd fd(open((below + "/f" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
    CHECK(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  // As many directories as are worth a second thread.
  mkdir((at + "/d7").c_str(), 0750);
  for (int i = 0; i < 24; i++) {
    const std::string below = at + "/d7/s" + std::to_string(i);
    mkdir(below.c_str(), 0750);
    Fd fd(open((below + "/f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
    CHECK(fd);
  }
  CHECK(symlink("d1/f1", (at + "/link").c_str()) == 0);
  CHECK(mkfifo((at + "/pipe").c_str(), 0600) == 0);
}

IgnorePatterns patterns() {
  IgnorePattern all{false, "d", IgnorePattern::Kind::Glob, ""};
  all.parts = {{GlobPart::Kind::Character, false, 'd'}, {GlobPart::Kind::Any}};
  IgnorePattern kept{true, "d3/f3", IgnorePattern::Kind::Exact, "d3/f3"};
  return IgnorePatterns({all, kept});
}

std::optional<Fault> write_layer(Inventory& inventory, const std::string& to, bool cancelled) {
  ArchiveMember member;
  member.name = "app";
  member.item = 0;
  member.whole = true;
  InventoryArchive archive(inventory, {member}, 1'000'000'000);
  FileSink sink(Fd(open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)));
  std::thread canceller;
  if (cancelled)
    canceller = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      archive.cancel();
    });
  auto fault = guarded([&] {
    const ArchiveResult result = archive.run(sink);
    struct stat status;
    CHECK(stat(to.c_str(), &status) == 0 && static_cast<uint64_t>(status.st_size) == result.size);
    CHECK(result.entries == inventory.size());
  });
  if (canceller.joinable()) canceller.join();
  return fault;
}

void once(int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  const std::string name = "tree-" + std::to_string(seed), at = scratch + "/" + name;
  make_tree(at, random);
  Inventory inventory = Inventory::take(at, IgnorePatterns({}), never);
  DigestBook book(at + ".book"), none("");
  const auto first = digest_items(inventory, {0}, book, never);
  CHECK(!write_layer(inventory, at + ".tar", false));
  inventory.forget_bytes();
  CHECK(!write_layer(inventory, at + ".tar", false));
  if (auto fault = write_layer(inventory, at + ".tar", true)) CHECK(fault->kind == Fault::Kind::Cancelled);
  Inventory again = Inventory::take(at, IgnorePatterns({}), never);
  CHECK(digest_items(again, {0}, none, never) == first);
  Inventory part = Inventory::take(at, patterns(), never);
  // The directory, d3 with one file, the link and the pipe.
  CHECK(part.size() == 5);
  CHECK(digest_items(part, {0}, none, never) != first);
  FileSystem files;
  Fd above(open(scratch.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  remove_tree(files, above.get(), name.c_str());
  for (const char* end : {".book", ".tar"}) unlink((at + end).c_str());
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 125;
  umask(0);
  scratch = arguments[1];
  check::in_threads(arguments, [](int thread, int round) { once(thread * 1000 + round); });
  return check::result();
}
