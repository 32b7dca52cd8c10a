// The tar reader and the applier: a hostile archive is unpacked into a directory of its own, whose neighbour must stay
// as it is. Input: a byte of options, and the archive; checksums are put right, so that headers get in.
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "core/layer/applier.h"
#include "test/bytes.h"

using namespace caisson;

namespace {

std::string scratch;

void fail(const char* what) {
  fprintf(stderr, "%s\n", what);
  abort();
}

// Everything outside of the root that an archive could reach by "..", links and absolute names.
void prepare() {
  namespace fs = std::filesystem;
  if (scratch.empty()) {
    char name[] = "/dev/shm/caisson-fuzz-XXXXXX";
    if (!mkdtemp(name)) fail("mkdtemp");
    scratch = name;
    atexit([] { fs::remove_all(scratch); });
    mkdir((scratch + "/outside").c_str(), 0755);
    close(open((scratch + "/outside/file").c_str(), O_WRONLY | O_CREAT, 0644));
  }
  fs::create_directory(scratch + "/root");
  fs::create_directory_symlink("/", scratch + "/root/absolute");
  fs::create_directory_symlink("../outside", scratch + "/root/up");
  fs::create_hard_link(scratch + "/outside/file", scratch + "/root/shared");
}

void put_checksums_right(std::string& archive) {
  for (size_t at = 0; at + tar::BLOCK <= archive.size(); at += tar::BLOCK) {
    tar::Header header;
    memcpy(&header, archive.data() + at, sizeof header);
    if (memcmp(header.magic, "ustar", 5) != 0) continue;
    unsigned sum = 0;
    for (size_t i = 0; i < tar::BLOCK; i++)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(archive[at + i]);
    snprintf(archive.data() + at + 148, 8, "%06o", sum);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  namespace fs = std::filesystem;
  prepare();
  struct stat before, after;
  const std::string outside = scratch + "/outside";
  stat(outside.c_str(), &before);
  std::string archive(reinterpret_cast<const char*>(data) + 1, size - 1);
  put_checksums_right(archive);
  ApplyOptions options;
  options.whiteouts = static_cast<Whiteouts>(data[0] % 3);
  options.overlay_xattrs = "user";
  options.lenient_end = data[0] & 4;
  options.replace_kind = !(data[0] & 8);
  options.owners = false;
  options.devices = ApplyOptions::Devices::Skip;
  options.limits = {1 << 20, 1000, 1 << 20, 0};
  test::PieceInput input(archive, 1 + (data[0] >> 4) * 211);
  ByteReader in(input);
  std::atomic<uint64_t> entries = 0;
  std::atomic<bool> cancelled = false;
  FileSystem files;
  Fd root(open((scratch + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  (void)guarded([&] { Applier(files, root.get(), options, entries, cancelled).run(in); });
  stat(outside.c_str(), &after);
  if (before.st_mtim.tv_sec != after.st_mtim.tv_sec || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ||
      before.st_ctim.tv_nsec != after.st_ctim.tv_nsec)
    fail("something outside of the root was made or removed");
  if (fs::file_size(outside + "/file") != 0) fail("a file outside of the root was written to");
  for (const auto& entry : fs::directory_iterator(scratch))
    if (entry.path().filename() != "root" && entry.path().filename() != "outside") fail("made beside the root");
  fs::permissions(scratch + "/root", fs::perms::owner_all);
  fs::remove_all(scratch + "/root");
  return 0;
}
