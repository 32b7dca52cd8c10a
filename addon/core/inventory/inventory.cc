#include "core/inventory/inventory.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <iterator>

#include "core/fault.h"
#include "core/inventory/share.h"
#include "core/layer/filesystem.h"
#include "core/layer/holes.h"
#include "core/layer/listing.h"

namespace caisson {

namespace {

constexpr int64_t NANOSECONDS = 1'000'000'000;
// A thread is not worth a handful of directories.
constexpr size_t DIRECTORIES_EACH = 8;

[[noreturn]] void fail(const std::string& path, const char* call, int error) {
  throw Fault{Fault::Kind::System, "looking at files", path, call, error < 0 ? -error : error};
}

int64_t nanoseconds(const timespec& time) { return time.tv_sec * NANOSECONDS + time.tv_nsec; }

FileIdentity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

bool has_vanished(int error) { return error == -ENOENT || error == -ENOTDIR || error == -ELOOP; }

std::string join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + '/' + std::string(name);
}

}  // namespace

Inventory Inventory::take(const std::string& root, const IgnorePatterns& patterns,
                          const std::atomic<bool>& cancelled) {
  Inventory inventory;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  inventory.began_ = nanoseconds(now);
  inventory.root_.reset(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!inventory.root_) fail(root, "open", errno);
  struct stat status;
  if (fstat(inventory.root_.get(), &status) < 0) fail(root, "fstat", errno);
  InventoryItem top;
  top.mode = status.st_mode;
  top.identity = identity_of(status);
  inventory.items_.push_back(std::move(top));
  inventory.doubtful_.push_back(false);
  std::vector<IgnorePatterns::State> states(1);
  std::atomic<bool> stopped = false;
  // One depth after the other: directories of the same one are looked at at the same time.
  for (size_t begin = 0; begin < inventory.items_.size();) {
    const size_t end = inventory.items_.size();
    std::vector<uint32_t> directories;
    for (size_t index = begin; index < end; index++)
      if (S_ISDIR(inventory.items_[index].mode)) directories.push_back(static_cast<uint32_t>(index));
    std::vector<Listed> found(directories.size());
    share_out(directories.size(), DIRECTORIES_EACH, stopped, [&] {
      return [&](size_t at) {
        if (cancelled) throw Fault{Fault::Kind::Cancelled, "cancelled"};
        found[at] = inventory.list(directories[at], patterns, states[directories[at]]);
      };
    });
    for (size_t at = 0; at < directories.size(); at++) inventory.append(directories[at], std::move(found[at]), states);
    begin = end;
  }
  inventory.drop_empty();
  return inventory;
}

Inventory::Listed Inventory::list(uint32_t index, const IgnorePatterns& patterns,
                                  const IgnorePatterns::State& above) const {
  Listed listed;
  FileSystem files;
  const std::string path = this->path(index);
  const int opened = files.open_plain(root_.get(), path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY);
  if (index > 0 && has_vanished(opened)) return listed;
  if (opened < 0) fail(path, "openat2", opened);
  Fd directory(opened);
  for (const std::string& name : sorted_names(directory.get())) {
    const std::string below = join(path, name);
    IgnorePatterns::State state = above;
    const bool left_out = patterns.leaves_out(below, state);
    if (left_out && !patterns.may_hold_exception(below)) continue;
    auto item = look(directory.get(), name.c_str(), below, index);
    if (!item || (left_out && !S_ISDIR(item->mode))) continue;
    listed.items.push_back(std::move(*item));
    listed.doubtful.push_back(left_out);
    listed.states.push_back(std::move(state));
  }
  return listed;
}

void Inventory::append(uint32_t index, Listed listed, std::vector<IgnorePatterns::State>& states) {
  items_[index].first = static_cast<uint32_t>(items_.size());
  items_[index].count = static_cast<uint32_t>(listed.items.size());
  std::move(listed.items.begin(), listed.items.end(), std::back_inserter(items_));
  std::move(listed.states.begin(), listed.states.end(), std::back_inserter(states));
  doubtful_.insert(doubtful_.end(), listed.doubtful.begin(), listed.doubtful.end());
  states[index] = {};
}

// Nothing: it has vanished, or is a socket, which nothing can copy.
std::optional<InventoryItem> Inventory::look(int directory, const char* name, const std::string& path,
                                             uint32_t parent) const {
  if (!is_utf8(name)) throw Fault{Fault::Kind::Refused, "its name is not UTF-8: leave it out", path};
  FileSystem files;
  struct stat status;
  const int error = files.status(directory, name, &status);
  if (error == -ENOENT) return std::nullopt;
  if (error < 0) fail(path, "fstatat", error);
  if (S_ISSOCK(status.st_mode)) return std::nullopt;
  InventoryItem item;
  item.name = name;
  item.parent = parent;
  item.mode = status.st_mode;
  item.device = status.st_rdev;
  item.identity = identity_of(status);
  item.hollow = is_hollow(status);
  if (S_ISLNK(status.st_mode)) {
    char target[PATH_MAX];
    const ssize_t size = files.read_link(directory, name, target, sizeof target);
    if (has_vanished(static_cast<int>(size)) || size == -EINVAL) return std::nullopt;
    if (size < 0) fail(path, "readlinkat", static_cast<int>(size));
    item.target.assign(target, static_cast<size_t>(size));
  }
  return item;
}

// Directories that were left out and hold nothing that is not; whatever is in a directory comes behind it.
void Inventory::drop_empty() {
  std::vector<bool> kept(items_.size());
  for (size_t index = items_.size(); index-- > 0;) {
    if (!doubtful_[index]) kept[index] = true;
    if (kept[index]) kept[items_[index].parent] = true;
  }
  std::vector<uint32_t> place(items_.size());
  uint32_t next = 0;
  for (size_t index = 0; index < items_.size(); index++) {
    place[index] = next;
    if (kept[index]) next++;
  }
  if (next == items_.size()) return;
  for (size_t index = 0; index < items_.size(); index++) {
    if (!kept[index]) continue;
    InventoryItem item = std::move(items_[index]);
    uint32_t count = 0;
    for (uint32_t child = item.first; child < item.first + item.count; child++)
      if (kept[child]) count++;
    if (item.count > 0) item.first = place[item.first];
    item.count = count;
    item.parent = place[item.parent];
    items_[place[index]] = std::move(item);
  }
  items_.resize(next);
}

std::string Inventory::path(uint32_t index) const {
  std::string path = items_[index].name;
  while (index != 0 && (index = items_[index].parent) != 0) path = items_[index].name + '/' + path;
  return path;
}

Fd Inventory::open(uint32_t index) const {
  FileSystem files;
  const std::string path = this->path(index);
  const int opened = files.open_plain(root_.get(), path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (opened < 0) throw Fault{Fault::Kind::System, "reading files", path, "openat2", -opened};
  Fd fd(opened);
  struct stat status;
  if (fstat(fd.get(), &status) < 0) throw Fault{Fault::Kind::System, "reading files", path, "fstat", errno};
  if (identity_of(status) != items_[index].identity)
    throw Fault{Fault::Kind::Refused, "it was changed during the build", path};
  return fd;
}

void Inventory::count_holes(uint32_t index, int fd, std::atomic<uint64_t>& holes) const {
  if (!items_[index].hollow) return;
  const uint64_t more = holes_in(fd, items_[index].identity.size);
  if (holes.fetch_add(more) + more > HOLES_MAX)
    throw Fault{Fault::Kind::Refused, "files with holes of more than 1 GiB, which would be zeros on the disk: leave it out",
                path(index)};
}

void Inventory::forget_bytes() {
  for (InventoryItem& item : items_) {
    item.bytes = {};
    item.has_bytes = false;
  }
}

}  // namespace caisson
