#include "core/layer/applier.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include "core/fault.h"
#include "core/layer/names.h"

namespace caisson {

namespace {

// Names below the root that AUFS used for itself; of these only the opaque mark is part of layers.
constexpr std::string_view AUFS = ".wh..wh.", OPAQUE = ".wh..wh..opq";

}  // namespace

Applier::Applier(FileSystem& files, int root, const ApplyOptions& options, std::atomic<uint64_t>& entries,
                 const std::atomic<bool>& cancelled)
    : files_(files),
      root_(root),
      options_(options),
      entries_(entries),
      cancelled_(cancelled),
      tree_(files, root, *this),
      own_uid_(geteuid()),
      own_gid_(getegid()) {}

ApplyResult Applier::run(ByteReader& in) {
  tar::Reader reader(in, options_.lenient_end ? tar::End::Lenient : tar::End::Strict);
  reader_ = &reader;
  exact_modes_ = files_.enter_thread();
  if (!options_.base.empty() && !tree_.find(options_.base)) {
    throw Fault{Fault::Kind::System, "the directory to unpack to", options_.base, "openat2", ENOENT};
  }
  tar::Entry entry;
  while (reader.next(entry)) {
    try {
      add(entry);
    } catch (Fault& fault) {
      if (fault.entry.empty()) fault.entry = entry.name;
      throw;
    }
  }
  tree_.forget();
  result_.entries = entries_;
  return std::move(result_);
}

void Applier::count() {
  if (++entries_ > options_.limits.entries)
    over_limit("more than " + std::to_string(options_.limits.entries) + " members and directories");
}

void Applier::add(const tar::Entry& entry) {
  if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
  count();
  std::string path = clean_path(entry.name);
  const bool layer = options_.whiteouts != Whiteouts::None;
  if (layer && path.starts_with(AUFS) && path != OPAQUE) return;
  if (path.empty()) return add_root(entry);
  if (!options_.base.empty()) path = options_.base + '/' + path;
  const auto [parent, base] = split_path(path);
  if (layer && whiteout(std::string(parent), base)) return;

  Place place{tree_.make(std::string(parent)), std::string(base)};
  switch (entry.type) {
    case tar::Type::File:
      return add_file(entry, place);
    case tar::Type::Directory:
      return add_directory(entry, place, path);
    case tar::Type::Symlink:
      return add_symlink(entry, place);
    case tar::Type::HardLink:
      return add_hard_link(entry, place, path);
    case tar::Type::CharacterDevice:
    case tar::Type::BlockDevice:
    case tar::Type::Fifo:
      return add_node(entry, place);
  }
}

// "./" in a layer says what the root looks like. Anything else under such a name has no place to go, as in containerd.
void Applier::add_root(const tar::Entry& entry) {
  if (entry.type != tar::Type::Directory || options_.whiteouts == Whiteouts::None) return;
  finish_directory(entry, *tree_.make(options_.base), nullptr);
}

// Removes whatever has the name.
void Applier::clear_way(Place& place) {
  OpenDirectory& directory = *place.directory;
  struct stat status;
  int error = files_.status(directory.fd.get(), place.name.c_str(), &status);
  if (error == -ENOENT) return;
  if (error < 0) fail("fstatat", error);
  const bool is_directory = S_ISDIR(status.st_mode);
  if (is_directory && !options_.replace_kind) refused("it would replace a directory");
  remove_tree(files_, directory.fd.get(), place.name.c_str());
  if (!is_directory && !S_ISLNK(status.st_mode)) return;
  // It may have been on the way to directories that are open.
  tree_.forget();
  Tree::Directory again = tree_.find(directory.path);
  if (again && again->inode == directory.inode && again->device == directory.device) place.directory = again;
}

// Makes something new with `make`, which gives a negative errno, in place of whatever has the name.
template <typename Make>
int Applier::replace(Place& place, const char* call, Make make) {
  int result = make();
  if (result == -EEXIST) {
    clear_way(place);
    result = make();
  }
  if (result < 0) fail(call, result);
  remember(place);
  return result;
}

void Applier::add_file(const tar::Entry& entry, Place& place) {
  if (entry.size > options_.limits.file_size)
    over_limit("a file of more than " + std::to_string(options_.limits.file_size) + " bytes");
  // Attributes can be set on a file that its owner may write to.
  const mode_t mode = (entry.mode & 0777) | (entry.xattrs.empty() ? 0 : 0600);
  Fd file(replace(place, "openat", [&] {
    return files_.open(place.directory->fd.get(), place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode);
  }));
  try {
    write(entry, file.get());
    finish_file(entry, file.get(), *place.directory, mode);
    if (close(file.release()) < 0) fail("close", -errno);
  } catch (...) {
    files_.remove(place.directory->fd.get(), place.name.c_str(), false);
    throw;
  }
  result_.bytes += entry.size;
}

void Applier::add_directory(const tar::Entry& entry, Place& place, const std::string& path) {
  const int parent = place.directory->fd.get();
  const mode_t mode = (entry.mode & 0777) | 0700;
  bool fresh = true, hides = false;
  int error = files_.make_directory(parent, place.name.c_str(), mode);
  if (error == -EEXIST) {
    struct stat status;
    if ((error = files_.status(parent, place.name.c_str(), &status)) < 0) fail("fstatat", error);
    fresh = !S_ISDIR(status.st_mode);
    if (fresh) {
      if (!options_.replace_kind) refused("a directory would replace something else");
      hides = is_whiteout(status);
      clear_way(place);
      error = files_.make_directory(place.directory->fd.get(), place.name.c_str(), mode);
      if (error < 0) fail("mkdirat", error);
    }
  } else if (error < 0) {
    fail("mkdirat", error);
  }
  remember(place);
  int fd = files_.open(place.directory->fd.get(), place.name.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) fail("openat", fd);
  Tree::Directory directory = tree_.keep(path, Fd(fd));
  if (hides) make_opaque(directory->fd.get());
  if (options_.whiteouts == Whiteouts::None) ours_.insert(directory->device, directory->inode, "");
  finish_directory(entry, *directory, fresh ? place.directory.get() : nullptr);
}

void Applier::add_symlink(const tar::Entry& entry, Place& place) {
  if (entry.link.empty()) malformed("tar: a symbolic link to nothing");
  replace(place, "symlinkat", [&] {
    return files_.make_symlink(entry.link.c_str(), place.directory->fd.get(), place.name.c_str());
  });
  finish_other(entry, place);
}

// The target's directory may be reached through links; the target itself may be a link, and is not followed.
void Applier::add_hard_link(const tar::Entry& entry, Place& place, const std::string& path) {
  std::string target = clean_path(entry.link);
  if (target.empty()) refused("a hard link to a directory");
  if (!options_.base.empty()) target = options_.base + '/' + target;
  const auto [parent, base] = split_path(target);
  const std::string target_parent(parent), target_name(base);
  const bool overlay = options_.whiteouts == Whiteouts::Overlay;
  struct stat there;
  Tree::Directory from = tree_.find(target_parent);
  int error = from ? files_.status(from->fd.get(), target_name.c_str(), &there) : -ENOENT;
  if (error == -ENOENT && overlay) {
    clear_way(place);
    return leave_unsettled(path, target);
  }
  if (error < 0) fail("linkat", error);
  if (S_ISDIR(there.st_mode)) refused("a hard link to a directory");
  if (is_whiteout(there)) refused("a hard link to a file that this layer deletes");

  struct stat before;
  if (files_.status(place.directory->fd.get(), place.name.c_str(), &before) == 0 && before.st_ino == there.st_ino &&
      before.st_dev == there.st_dev)
    return remember(place);
  replace(place, "linkat", [&] {
    from = tree_.find(target_parent);
    return from ? files_.make_link(from->fd.get(), target_name.c_str(), place.directory->fd.get(), place.name.c_str())
                : -ENOENT;
  });
}

void Applier::add_node(const tar::Entry& entry, Place& place) {
  const bool fifo = entry.type == tar::Type::Fifo;
  const bool character = entry.type == tar::Type::CharacterDevice;
  if (character && entry.major == 0 && entry.minor == 0) refused("a device 0/0, which overlay takes for a deletion");
  if (!fifo && options_.devices == ApplyOptions::Devices::Refuse) refused("a device");
  if (!fifo && options_.devices == ApplyOptions::Devices::Skip) {
    result_.devices_skipped++;
    return;
  }
  // The kernel has 12 and 20 bits for them.
  if (entry.major >= 1u << 12 || entry.minor >= 1u << 20) malformed("tar: a device number that is too large");
  const mode_t type = fifo ? S_IFIFO : character ? S_IFCHR : S_IFBLK;
  const dev_t device = fifo ? 0 : makedev(entry.major, entry.minor);
  replace(place, "mknodat", [&] {
    return files_.make_node(place.directory->fd.get(), place.name.c_str(), type | (entry.mode & 07777), device);
  });
  finish_other(entry, place);
}

void Applier::write(const tar::Entry& entry, int fd) {
  if (!entry.sparse) {
    for (auto piece = reader_->data(); !piece.empty(); piece = reader_->data()) write_piece(fd, piece, -1);
    return;
  }
  std::span<const uint8_t> piece;
  for (const tar::Extent& extent : entry.extents) {
    for (uint64_t done = 0; done < extent.size;) {
      if (piece.empty()) piece = reader_->data();
      const size_t size = std::min<uint64_t>(piece.size(), extent.size - done);
      write_piece(fd, piece.first(size), static_cast<int64_t>(extent.offset + done));
      piece = piece.subspan(size);
      done += size;
    }
  }
  if (ftruncate(fd, static_cast<off_t>(entry.size)) < 0) fail("ftruncate", -errno);
}

// At `offset`, or at the end when that is negative.
void Applier::write_piece(int fd, std::span<const uint8_t> piece, int64_t offset) {
  if (cancelled_) throw Fault{Fault::Kind::Cancelled, "cancelled"};
  while (!piece.empty()) {
    const ssize_t size = offset < 0 ? ::write(fd, piece.data(), piece.size())
                                    : pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail("write", -errno);
    piece = piece.subspan(static_cast<size_t>(size));
    if (offset >= 0) offset += size;
  }
}

void Applier::fail(const char* call, int error) const { system_fault("unpacking", call, -error); }

}  // namespace caisson
