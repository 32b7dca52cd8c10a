// The pieces alone: hashes against known values and against each other, decoders against the libraries of others.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "core/cgroup.h"
#include "core/compress/decode.h"
#include "core/fault.h"
#include "core/fd.h"
#include "core/hash/crc32.h"
#include "core/hash/hasher.h"
#include "core/hash/sha256.h"
#include "core/hash/xxhash64.h"
#include "core/layer/listing.h"
#include "core/log.h"
#include "core/sys.h"
#include "core/tar/reader.h"
#include "core/tar/writer.h"
#include "test/bytes.h"
#include "test/check.h"

using namespace caisson;

namespace {

void hashes() {
  auto digest = [](const std::string& text) {
    Sha256 sha256;
    // In pieces, so that blocks are put together.
    for (size_t at = 0; at < text.size(); at += 37) sha256.update(text.data() + at, std::min<size_t>(37, text.size() - at));
    return sha256.finish_text();
  };
  // FIPS 180-4, examples.
  CHECK(digest("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest(std::string(1000000, 'a')) == "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  // Of every length to beyond two blocks, since the end is put together differently; the digest of all the digests is
  // what Python's hashlib says.
  auto chain = [](const std::string& algorithm) {
    Hasher all(algorithm);
    for (size_t size = 0; size < 300; size++) {
      Hasher one(algorithm);
      one.update(std::string(size, 'a').data(), size);
      const std::string text = one.finish_text();
      all.update(text.data(), text.size());
    }
    return all.finish_text();
  };
  CHECK(chain("sha256") ==
        "sha256:1be3cc4b7e758e31f46a9dbbb5ec9af6f69cbb3dc3e0a30d704348fd8e872f26");
  CHECK(chain("sha384") ==
        "sha384:d60af1a1158b10f5d40f3e3635f79a89d8455ad76a92d9d71a3c6eafb514ee54cb1d52098eb71438919885faa6a25e4f");
  CHECK(chain("sha512") ==
        "sha512:fb81486b7d70fd452146b828387a617fca1db9643c88adacf6dfec280290eb53"
        "313db0ceaaca3be486dd977bf3b2ad62155501af1b5c55180e4e152309d472a1");
  CHECK(crc32(0, "123456789", 9) == 0xcbf43926u);
  XxHash64 empty;
  CHECK(empty.value() == 0xef46db3751d8e999ull);
  std::mt19937 random(1);
  for (int i = 0; i < 300; i++) {
    std::string data = test::noise(random, random() % 5000);
    auto* bytes = reinterpret_cast<const uint8_t*>(data.data());
    CHECK(caisson::crc32(0, bytes, data.size()) == ::crc32(0, bytes, static_cast<uInt>(data.size())));
    if (auto native = crc32_native())
      CHECK(native(~0u, bytes, data.size()) == crc32_portable(~0u, bytes, data.size()));
    if (auto native = sha256_blocks_native()) {
      uint32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
      native(a, bytes, data.size() / 64);
      sha256_blocks_portable(b, bytes, data.size() / 64);
      CHECK(memcmp(a, b, sizeof a) == 0);
    }
  }
}

void decoders() {
  std::mt19937 random(2);
  for (int i = 0; i < 300; i++) {
    std::string plain = test::noise(random, random() % 300000);
    for (bool zstd : {false, true}) {
      std::string packed = zstd ? test::zstd(plain, 1 + i % 19) : test::gzip(plain, i % 10);
      std::string found;
      CHECK(!test::decode(zstd ? Compression::Zstd : Compression::Gzip, packed, 1 + random() % 9000, found));
      CHECK(found == plain);
      CHECK(test::decode(zstd ? Compression::Zstd : Compression::Gzip, packed.substr(0, packed.size() - 1), 1000, found));
    }
  }
}

void archives() {
  tar::Entry entry;
  entry.name = std::string(300, 'n');
  entry.mode = 0644;
  entry.mtime = {-5, 250};
  entry.size = entry.stored = 5;
  entry.uid = 1ull << 40;
  entry.xattrs.push_back({"user.a", std::string("b\0c", 3)});
  std::string archive = tar::header_blocks(entry) + "hello";
  archive.resize((archive.size() + 511) / 512 * 512 + 1024);
  test::PieceInput input(archive, 100);
  ByteReader bytes(input);
  tar::Reader reader(bytes);
  tar::Entry found;
  auto fault = guarded([&] {
    CHECK(reader.next(found));
    std::string data;
    for (auto piece = reader.data(); !piece.empty(); piece = reader.data()) data.append(piece.begin(), piece.end());
    CHECK(data == "hello");
    CHECK(found.name == entry.name && found.uid == entry.uid && found.mtime.seconds == -5);
    CHECK(found.xattrs.size() == 1 && found.xattrs[0].value == entry.xattrs[0].value);
    CHECK(!reader.next(found));
  });
  CHECK(!fault);
}

// A program fills the disk, and then makes room again: its words must not be taken for the head of a record.
void logs_on_a_full_disk() {
  char directory[] = "/tmp/caisson-pieces-XXXXXX";
  if (!mkdtemp(directory)) return CHECK(!"mkdtemp");
  const std::string path = std::string(directory) + "/log", line = std::string(99, 'x') + "\n";
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  Log log(path, 1 << 20);
  CHECK(log.open());
  // Two records and a half.
  const rlimit full = {(sizeof(LogRecord) + line.size()) * 5 / 2, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  for (int i = 0; i < 4; i++) log.add(0, line.data(), line.size());
  setrlimit(RLIMIT_FSIZE, &before);
  log.add(1, line.data(), line.size());
  const std::string written = sys::read_file(path, 1 << 20);
  size_t at = 0;
  int records = 0;
  for (; at + sizeof(LogRecord) <= written.size(); records++) {
    LogRecord record;
    memcpy(&record, written.data() + at, sizeof record);
    CHECK(record.length == line.size() && record.stream == (records < 2 ? 1 : 2));
    at += sizeof record + line.size();
  }
  CHECK(records == 3 && at == written.size());
  unlink(path.c_str());
  rmdir(directory);
}

// A list of a cgroup that has the number of a process once, and not any more when it is read again: as where that ended,
// and the number is another's by now.
void only_members_are_killed() {
  // The call is unknown to valgrind before 3.21; the builds with sanitizers have it.
  if (!Fd(sys::pidfd_open(getpid()))) return;
  char directory[] = "/tmp/caisson-pieces-XXXXXX";
  if (!mkdtemp(directory)) return CHECK(!"mkdtemp");
  const std::string list = std::string(directory) + "/cgroup.procs";
  CgroupPaths group;
  group.legacy = {directory};
  pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  const std::string line = std::to_string(child) + "\n";
  CHECK(mkfifo(list.c_str(), 0600) == 0);
  {
    Fd fifo(open(list.c_str(), O_RDWR | O_CLOEXEC));
    CHECK(write(fifo.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    CHECK(cgroup_kill(group));
  }
  usleep(20'000);
  int status = 0;
  CHECK(waitpid(child, &status, WNOHANG) == 0);
  unlink(list.c_str());
  Fd file(open(list.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CHECK(write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  CHECK(cgroup_kill(group));
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  unlink(list.c_str());
  rmdir(directory);
}

void removed_directories_are_empty() {
  char directory[] = "/tmp/caisson-pieces-XXXXXX";
  if (!mkdtemp(directory)) return CHECK(!"mkdtemp");
  Fd fd(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(rmdir(directory) == 0);
  CHECK(!guarded([&] { CHECK(sorted_names(fd.get()).empty()); }));
}

}  // namespace

int main() {
  hashes();
  decoders();
  archives();
  logs_on_a_full_disk();
  only_members_are_killed();
  removed_directories_are_empty();
  return check::result();
}
