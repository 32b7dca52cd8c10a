#include "core/inventory/archive.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "core/fault.h"
#include "core/tar/header.h"
#include "core/tar/writer.h"

namespace caisson {

namespace {

constexpr uint64_t CHUNK = 256 << 10;
const uint8_t ZEROS[2 * tar::BLOCK] = {};

tar::Type type_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return tar::Type::Directory;
    case S_IFLNK:
      return tar::Type::Symlink;
    case S_IFCHR:
      return tar::Type::CharacterDevice;
    case S_IFBLK:
      return tar::Type::BlockDevice;
    case S_IFIFO:
      return tar::Type::Fifo;
    default:
      return tar::Type::File;
  }
}

}  // namespace

void copy_item(const Inventory& inventory, uint32_t index, uint64_t most,
               const std::function<void(const uint8_t* data, size_t size)>& take, const std::atomic<bool>& cancelled) {
  const InventoryItem& item = inventory.item(index);
  uint64_t left = std::min(item.identity.size, most);
  if (item.has_bytes) {
    take(reinterpret_cast<const uint8_t*>(item.bytes.data()), left);
    return;
  }
  Fd fd = inventory.open(index);
  const auto buffer = std::make_unique<uint8_t[]>(std::min<uint64_t>(CHUNK, left));
  while (left > 0) {
    if (cancelled) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    const ssize_t got = read(fd.get(), buffer.get(), std::min<uint64_t>(left, CHUNK));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Fault{Fault::Kind::System, "reading files", inventory.path(index), "read", errno};
    if (got == 0) throw Fault{Fault::Kind::Refused, "it became shorter during the build", inventory.path(index)};
    take(buffer.get(), static_cast<size_t>(got));
    left -= static_cast<uint64_t>(got);
  }
}

void InventoryArchive::cancel() {
  stopped_ = true;
  pipe_.wake();
}

// This thread reads, another computes the digest and writes.
ArchiveResult InventoryArchive::run(FileSink& sink) {
  std::optional<Fault> theirs;
  std::thread consumer([&] {
    theirs = guarded([&] { consume(sink); });
    if (theirs) cancel();
  });
  auto ours = guarded([&] {
    for (const ArchiveMember& member : members_) add(member);
    pipe_.output().write(ZEROS, sizeof ZEROS);
    pipe_.close();
  });
  if (ours) cancel();
  consumer.join();
  // Whoever was stopped by the other says no more than that.
  for (const auto& fault : {ours, theirs})
    if (fault && fault->kind != Fault::Kind::Cancelled) throw *fault;
  if (ours) throw *ours;
  if (theirs) throw *theirs;
  result_.size = pipe_.written();
  return std::move(result_);
}

void InventoryArchive::consume(FileSink& sink) {
  Sha256 hash;
  Input& input = pipe_.input(0);
  for (auto piece = input.next(); !piece.empty(); piece = input.next()) {
    hash.update(piece.data(), piece.size());
    sink.write(piece.data(), piece.size());
  }
  result_.digest = hash.finish_text();
}

void InventoryArchive::add(const ArchiveMember& member) {
  if (member.item) {
    add_item(*member.item, member.name, member);
    return;
  }
  tar::Entry entry;
  entry.type = tar::Type::Directory;
  entry.name = member.name + '/';
  entry.mode = member.mode.value_or(0755);
  entry.uid = member.uid;
  entry.gid = member.gid;
  entry.mtime.seconds = member.mtime;
  put(entry);
}

void InventoryArchive::add_item(uint32_t top, const std::string& top_name, const ArchiveMember& member) {
  std::vector<std::pair<uint32_t, std::string>> waiting{{top, top_name}};
  while (!waiting.empty()) {
    if (stopped_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    auto [index, name] = std::move(waiting.back());
    waiting.pop_back();
    const InventoryItem& item = inventory_.item(index);
    if (item.name.starts_with(".wh."))
      throw Fault{Fault::Kind::Refused, "a layer cannot hold this name: it would delete a file",
                  inventory_.path(index)};
    tar::Entry entry;
    entry.type = type_of(item.mode);
    entry.name = S_ISDIR(item.mode) ? name + '/' : name;
    entry.link = item.target;
    entry.mode = member.mode && !S_ISLNK(item.mode) ? *member.mode : item.mode & 07777;
    entry.uid = member.uid;
    entry.gid = member.gid;
    // Rounded down, as times before 1970 are too.
    entry.mtime.seconds = item.identity.modified / 1'000'000'000 - (item.identity.modified % 1'000'000'000 < 0 ? 1 : 0);
    if (S_ISREG(item.mode)) entry.size = entry.stored = item.identity.size;
    if (S_ISCHR(item.mode) || S_ISBLK(item.mode)) {
      entry.major = major(item.device);
      entry.minor = minor(item.device);
    }
    put(entry);
    if (S_ISREG(item.mode)) add_bytes(index);
    if (!member.whole) continue;
    for (uint32_t child = item.first + item.count; child-- > item.first;)
      waiting.emplace_back(child, name + '/' + inventory_.item(child).name);
  }
}

void InventoryArchive::add_bytes(uint32_t index) {
  const uint64_t size = inventory_.item(index).identity.size;
  if (inventory_.item(index).hollow) inventory_.count_holes(index, inventory_.open(index).get(), holes_);
  copy_item(inventory_, index, UINT64_MAX,
            [this](const uint8_t* data, size_t count) { pipe_.output().write(data, count); }, stopped_);
  pipe_.output().write(ZEROS, (tar::BLOCK - size % tar::BLOCK) % tar::BLOCK);
}

void InventoryArchive::put(const tar::Entry& entry) {
  tar::Entry written = entry;
  if (latest_ && written.mtime.seconds > *latest_) written.mtime.seconds = *latest_;
  const std::string header = tar::header_blocks(written);
  pipe_.output().write(reinterpret_cast<const uint8_t*>(header.data()), header.size());
  result_.entries++;
}

}  // namespace caisson
