#include "core/layer/packer.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "core/fault.h"
#include "core/layer/holes.h"
#include "core/layer/listing.h"
#include "core/layer/lowers.h"
#include "core/layer/names.h"
#include "core/layer/xattr.h"
#include "core/tar/header.h"
#include "core/tar/writer.h"

namespace caisson {

namespace {

constexpr size_t BUFFER = 256 << 10;
constexpr std::string_view WHITEOUT = ".wh.", OPAQUE = ".wh..wh..opq";
constexpr uint64_t MQUEUE_MAGIC = 0x19800202;  // not in linux/magic.h

[[noreturn]] void fail(const std::string& path, const char* call, int error) {
  throw Fault{Fault::Kind::System, "packing", path, call, -error};
}

// File systems whose files are made up as they are read: some wait, some answer differently to us than to the container.
bool is_of_kernel(int directory) {
  struct statfs info;
  if (fstatfs(directory, &info) < 0) return false;
  const uint64_t kernels[] = {PROC_SUPER_MAGIC,   SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                              DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,      SECURITYFS_MAGIC,
                              BPF_FS_MAGIC,       BINFMTFS_MAGIC, PSTOREFS_MAGIC,    EFIVARFS_MAGIC,
                              MQUEUE_MAGIC};
  for (uint64_t magic : kernels)
    if (static_cast<uint64_t>(info.f_type) == magic) return true;
  return false;
}

}  // namespace

Packer::Packer(FileSystem& files, int root, const PackOptions& options, Sink sink, const std::atomic<bool>& cancelled)
    : files_(files), root_(root), options_(options), sink_(std::move(sink)), cancelled_(cancelled) {
  buffer_.reserve(BUFFER);
}

PackResult Packer::run() {
  const auto [parent, base] = split_path(options_.base);
  if (options_.base.empty()) {
    run_tree(root_, "");
  } else {
    int fd = files_.open_below(root_, parent.empty() ? "." : std::string(parent).c_str(), O_PATH | O_DIRECTORY);
    if (fd < 0) fail(std::string(parent), "openat2", fd);
    Fd above(fd);
    const std::string name(base);
    struct stat status;
    if (int error = files_.status(fd, name.c_str(), &status); error < 0) fail(options_.base, "fstatat", error);
    if (S_ISDIR(status.st_mode))
      run_tree(fd, name.c_str());
    else if (options_.name.empty())
      refused("a member without a name");
    else
      add_base(fd, name.c_str(), status);
  }
  const uint8_t zeros[2 * tar::BLOCK] = {};
  put(zeros, sizeof zeros);
  flush();
  result_.diff_id = sha256_.finish_text();
  return std::move(result_);
}

void Packer::run_tree(int directory, const char* name) {
  Descent here(files_, directory, name);
  std::vector<Level> levels;
  struct stat status;
  if (int error = files_.status(here.fd(), "", &status); error < 0) fail(name, "fstatat", error);
  if (!options_.name.empty()) add_directory(here.fd(), status, "");
  levels.push_back({"", sorted_names(here.fd())});
  add_deleted(levels.back());
  for (;;) {
    if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    Level& level = levels.back();
    if (level.next < level.names.size()) {
      const std::string member = level.names[level.next++];
      add(here, levels, member);
      continue;
    }
    levels.pop_back();
    if (levels.empty()) return;
    here.leave();
  }
}

// A container whose root is nobody here may have us come to files of the kernel by a link of its own: what it may not
// read there, we may.
bool Packer::is_for_us_alone(int directory, const struct stat& status) const {
  return options_.live && !options_.uids.empty() && !S_ISLNK(status.st_mode) && !(status.st_mode & S_IROTH) &&
         is_of_kernel(directory);
}

void Packer::add_base(int directory, const char* name, const struct stat& status) {
  if (is_for_us_alone(directory, status)) throw Fault{Fault::Kind::Refused, "a file that the container may not read", name};
  add_member(directory, name, status, "");
}

// Whether a path is among the changes, or on the way to one.
bool Packer::wanted(const std::string& path) const {
  if (!options_.changes) return true;
  const auto& changes = *options_.changes;
  if (changes.contains(path)) return true;
  auto next = changes.lower_bound(path + '/');
  return next != changes.end() && next->first.starts_with(path + '/');
}

// What the changes delete is not in the directory, but takes its place in the order.
void Packer::add_deleted(Level& level) {
  if (!options_.changes) return;
  const std::string prefix = level.path.empty() ? "" : level.path + '/';
  for (auto at = options_.changes->lower_bound(prefix); at != options_.changes->end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    const std::string name = at->first.substr(prefix.size());
    if (at->second && !name.empty() && name.find('/') == std::string::npos) level.deleted.insert(name);
  }
  level.names.insert(level.names.end(), level.deleted.begin(), level.deleted.end());
  std::sort(level.names.begin(), level.names.end());
  level.names.erase(std::unique(level.names.begin(), level.names.end()), level.names.end());
}

void Packer::add(Descent& here, std::vector<Level>& levels, const std::string& name) {
  const Level& level = levels.back();
  const std::string path = join_path(level.path, name);
  if (level.deleted.contains(name)) return add_whiteout(level.path, name);
  if (!wanted(path)) return;
  struct stat status;
  int error = files_.status(here.fd(), name.c_str(), &status);
  if (vanished(error)) return;
  if (error < 0) fail(path, "fstatat", error);
  if (is_for_us_alone(here.fd(), status)) return;
  if (options_.overlay && is_overlay_whiteout(status)) return add_whiteout(level.path, name);
  if (options_.layer && name.starts_with(WHITEOUT))
    throw Fault{Fault::Kind::Refused, "a layer cannot hold this name: it would delete a file", path};
  if (!S_ISDIR(status.st_mode)) return add_member(here.fd(), name.c_str(), status, path);
  try {
    here.enter(name.c_str());
  } catch (const Fault& fault) {
    if (vanished(-fault.error)) return;
    throw;
  }
  if (int again = files_.status(here.fd(), "", &status); again < 0) fail(path, "fstatat", again);
  add_directory(here.fd(), status, path);
  const bool kernels = options_.live && is_of_kernel(here.fd());
  levels.push_back({path, kernels ? std::vector<std::string>{} : sorted_names(here.fd())});
  add_deleted(levels.back());
}

void Packer::add_directory(int fd, const struct stat& status, const std::string& path) {
  tar::Entry entry = describe(status, path);
  entry.type = tar::Type::Directory;
  entry.name += '/';
  read_xattrs(fd, entry);
  put_header(entry);
  if (!options_.overlay) return;
  if (is_overlay_opaque(files_, fd, options_.overlay_xattrs)) {
    tar::Entry mark;
    mark.name = entry.name + std::string(OPAQUE);
    put_header(mark);
  }
}

void Packer::add_whiteout(const std::string& directory, const std::string& name) {
  tar::Entry entry;
  entry.name = archive_name(join_path(directory, std::string(WHITEOUT) + name));
  put_header(entry);
}

void Packer::add_member(int directory, const char* name, const struct stat& status, const std::string& path) {
  if (S_ISSOCK(status.st_mode)) {
    result_.sockets_skipped++;
    return;
  }
  tar::Entry entry = describe(status, path);
  const std::pair<uint64_t, uint64_t> inode{status.st_dev, status.st_ino};
  if (status.st_nlink > 1) {
    auto [first, fresh] = linked_.try_emplace(inode, entry.name);
    if (!fresh) {
      entry.type = tar::Type::HardLink;
      entry.link = first->second;
      return put_header(entry);
    }
  }
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      // Names that come later must not be links to one that was left out.
      if (!add_file(directory, name, status, std::move(entry))) linked_.erase(inode);
      return;
    case S_IFLNK: {
      char target[PATH_MAX];
      ssize_t size = files_.read_link(directory, name, target, sizeof target);
      if (vanished(static_cast<int>(size))) {
        linked_.erase(inode);
        return;
      }
      if (size < 0) fail(entry.name, "readlinkat", static_cast<int>(size));
      entry.type = tar::Type::Symlink;
      entry.mode = 0777;
      entry.link.assign(target, static_cast<size_t>(size));
      break;
    }
    case S_IFIFO:
      entry.type = tar::Type::Fifo;
      break;
    default:
      entry.type = S_ISCHR(status.st_mode) ? tar::Type::CharacterDevice : tar::Type::BlockDevice;
      entry.major = major(status.st_rdev);
      entry.minor = minor(status.st_rdev);
      break;
  }
  put_header(entry);
}

// Errors that say no more than that the member has gone, or is something else by now.
bool Packer::vanished(int error) const {
  return options_.live && (error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EINVAL ||
                           error == -ENXIO || error == -ESTALE);
}

// What has the name now may be something else than a moment ago: opening it must not wait for anybody, and of a tree
// that is alive it must have no effect either, as it has with devices.
int Packer::open_file(int directory, const char* name) {
  constexpr int READING = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  if (!options_.live) return files_.open(directory, name, READING);
  Fd found(files_.open(directory, name, O_PATH));
  if (!found) return found.get();
  struct stat status;
  if (int error = files_.status(found.get(), "", &status); error < 0) return error;
  return S_ISREG(status.st_mode) ? files_.reopen(found.get(), READING) : -ENXIO;
}

// False when it is not there any more.
bool Packer::add_file(int directory, const char* name, const struct stat& status, tar::Entry entry) {
  int fd = open_file(directory, name);
  if (vanished(fd)) return false;
  if (fd < 0) fail(entry.name, "openat", fd);
  Fd file(fd);
  struct stat opened;
  if (int error = files_.status(fd, "", &opened); error < 0) fail(entry.name, "fstatat", error);
  if (opened.st_ino != status.st_ino || opened.st_dev != status.st_dev) {
    if (options_.live) return false;
    throw Fault{Fault::Kind::Refused, "it changed while it was packed", entry.name};
  }
  entry.type = tar::Type::File;
  entry.size = entry.stored = static_cast<uint64_t>(opened.st_size);
  if (options_.few_holes && is_hollow(opened)) count_holes(fd, entry);
  read_xattrs(fd, entry);
  put_header(entry);
  add_data(fd, entry);
  const uint8_t zeros[tar::BLOCK] = {};
  put(zeros, (tar::BLOCK - entry.size % tar::BLOCK) % tar::BLOCK);
  return true;
}

// One that is made smaller meanwhile is filled up with zeros: by then it has had the bytes, or they have been counted.
void Packer::count_holes(int fd, const tar::Entry& entry) {
  holes_ += holes_in(fd, entry.size);
  if (holes_ > HOLES_MAX)
    throw Fault{Fault::Kind::Limit, "files with holes of more than 1 GiB, which would be zeros on the disk", entry.name};
}

void Packer::add_data(int fd, const tar::Entry& entry) {
  bool ended = false;
  for (uint64_t left = entry.size; left > 0;) {
    if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
    if (buffer_.size() == BUFFER) flush();
    const size_t before = buffer_.size(), room = std::min<uint64_t>(BUFFER - before, left);
    buffer_.resize(before + room);
    const ssize_t size = ended ? static_cast<ssize_t>(room) : read(fd, buffer_.data() + before, room);
    buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(size, 0)));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail(entry.name, "read", -errno);
    if (size == 0) {
      if (!options_.live) throw Fault{Fault::Kind::Refused, "it changed while it was packed", entry.name};
      ended = true;  // resize() has filled with zeros
    }
    left -= static_cast<uint64_t>(size);
  }
}

tar::Entry Packer::describe(const struct stat& status, const std::string& path) const {
  tar::Entry entry;
  entry.name = archive_name(path);
  entry.mode = status.st_mode & 07777;
  entry.uid = options_.uid ? *options_.uid : inside(status.st_uid, options_.uids, "uid");
  entry.gid = options_.gid ? *options_.gid : inside(status.st_gid, options_.gids, "gid");
  entry.mtime.seconds = status.st_mtim.tv_sec;
  if (options_.subseconds) entry.mtime.nanoseconds = static_cast<uint32_t>(status.st_mtim.tv_nsec);
  if (options_.latest && entry.mtime.seconds >= *options_.latest) entry.mtime = {*options_.latest, 0};
  return entry;
}

std::string Packer::archive_name(const std::string& path) const {
  if (options_.name.empty()) return path;
  return path.empty() ? options_.name : options_.name + '/' + path;
}

uint64_t Packer::inside(uint32_t id, const std::vector<IdRange>& map, const char* what) const {
  if (map.empty()) return id;
  for (const IdRange& range : map)
    if (id >= range.outside && id - range.outside < range.count) return range.inside + (id - range.outside);
  // What the container itself sees (user_namespaces(7), "Unmapped user and group IDs").
  constexpr uint64_t OVERFLOW_ID = 65534;
  if (options_.live) return OVERFLOW_ID;
  refused(std::string("its ") + what + ' ' + std::to_string(id) + " is not in the id map");
}

void Packer::read_xattrs(int fd, tar::Entry& entry) const {
  std::string names(256, '\0'), value;
  // The list can grow between two calls.
  ssize_t size;
  while ((size = files_.list_xattrs(fd, names.data(), names.size())) == -ERANGE) names.resize(names.size() * 4);
  if (size == -EOPNOTSUPP) return;
  if (size < 0) fail(entry.name, "flistxattr", static_cast<int>(size));
  names.resize(static_cast<size_t>(size));
  for (size_t at = 0; at < names.size(); at = names.find('\0', at) + 1) {
    const std::string name = names.c_str() + at;
    const std::string overlay = options_.overlay_xattrs + ".overlay.";
    if (options_.overlay && (name == overlay + "redirect" || name == overlay + "metacopy"))
      throw Fault{Fault::Kind::Refused, "overlay keeps a part of it in a lower layer (redirect_dir or metacopy)",
                  entry.name};
    if (xattr_fate(name) == XattrFate::Dropped) continue;
    value.resize(256);
    while ((size = files_.get_xattr(fd, name.c_str(), value.data(), value.size())) == -ERANGE)
      value.resize(value.size() * 8);
    if (size == -ENODATA) continue;
    if (size < 0) fail(entry.name, "fgetxattr", static_cast<int>(size));
    value.resize(static_cast<size_t>(size));
    entry.xattrs.push_back({name, name == CAPABILITY ? capability_plain(value) : value});
  }
}

void Packer::put_header(const tar::Entry& entry) {
  result_.entries++;
  const std::string blocks = tar::header_blocks(entry);
  put(blocks.data(), blocks.size());
}

void Packer::put(const void* data, size_t size) {
  if (buffer_.size() + size > BUFFER) flush();
  auto* bytes = static_cast<const uint8_t*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
}

void Packer::flush() {
  result_.bytes += buffer_.size();
  if (result_.bytes > options_.bytes_max)
    over_limit("an archive of more than " + std::to_string(options_.bytes_max) + " bytes");
  sha256_.update(buffer_.data(), buffer_.size());
  sink_(buffer_.data(), buffer_.size());
  buffer_.clear();
}

}  // namespace caisson
