// The applier's part about whiteouts, and about directories that no member named.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "core/fault.h"
#include "core/layer/applier.h"
#include "core/layer/remove.h"

namespace caisson {

namespace {

constexpr std::string_view PREFIX = ".wh.", OPAQUE = ".wh..wh..opq";
constexpr size_t UNSETTLED_BYTES_MAX = 16 << 20;

}  // namespace

// False when `base` is a name like others.
bool Applier::whiteout(const std::string& parent, std::string_view base) {
  if (!base.starts_with(PREFIX)) return false;
  if (base == OPAQUE) {
    hide_rest(parent);
    return true;
  }
  const std::string name(base.substr(PREFIX.size()));
  if (name.empty() || name == "." || name == "..") refused("a deletion of no name, or of a directory from inside");
  hide(parent, name);
  return true;
}

// Deletes `name` of the layers below. What this layer has put there stays, in whichever order the members come.
void Applier::hide(const std::string& parent, const std::string& name) {
  struct stat status;
  if (options_.whiteouts == Whiteouts::Overlay) {
    Tree::Directory directory = tree_.make(parent);
    const int at = directory->fd.get();
    int error = files_.status(at, name.c_str(), &status);
    if (error == -ENOENT) {
      error = files_.make_node(at, name.c_str(), S_IFCHR, makedev(0, 0));
      if (error < 0) fail("mknodat", error);
    } else if (error < 0) {
      fail("fstatat", error);
    } else if (S_ISDIR(status.st_mode)) {
      int fd = files_.open(at, name.c_str(), O_RDONLY | O_DIRECTORY);
      if (fd < 0) fail("openat", fd);
      Fd hidden(fd);
      make_opaque(fd);
    }
    return;
  }
  Tree::Directory directory = tree_.find(parent);
  if (!directory) return;
  const int at = directory->fd.get();
  int error = files_.status(at, name.c_str(), &status);
  if (error == -ENOENT) return;
  if (error < 0) fail("fstatat", error);
  if (!ours_.contains(directory->device, directory->inode, name))
    remove_tree(files_, at, name.c_str(), keeps());
  else if (S_ISDIR(status.st_mode))
    remove_content(files_, at, name.c_str(), keeps());
  tree_.forget();
}

// The same for all that a directory has.
void Applier::hide_rest(const std::string& parent) {
  if (options_.whiteouts == Whiteouts::Overlay) {
    if (parent.empty())
      result_.opaque_root = true;
    else
      make_opaque(tree_.make(parent)->fd.get());
    return;
  }
  Tree::Directory directory = tree_.find(parent);
  if (!directory) return;
  remove_content(files_, directory->fd.get(), "", keeps());
  tree_.forget();
}

void Applier::make_opaque(int directory) {
  const std::string name = options_.overlay_xattrs + ".overlay.opaque";
  if (int error = files_.set_xattr(directory, name.c_str(), "y", 1); error < 0) fail("fsetxattr", error);
}

bool Applier::is_whiteout(const struct stat& status) const {
  return options_.whiteouts == Whiteouts::Overlay && S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

Keeps Applier::keeps() const {
  return [this](uint64_t device, uint64_t inode, std::string_view name) {
    return ours_.contains(device, inode, name);
  };
}

void Applier::remember(const Place& place) {
  if (options_.whiteouts == Whiteouts::Apply)
    ours_.insert(place.directory->device, place.directory->inode, place.name);
}

void Applier::leave_unsettled(const std::string& path, const std::string& target) {
  unsettled_bytes_ += path.size() + target.size();
  if (unsettled_bytes_ > UNSETTLED_BYTES_MAX)
    over_limit("too many directories without a member of their own, or links to other layers");
  result_.unsettled.push_back({path, target});
}

// Owned by root, as if the archive had said so.
void Applier::made(const Tree::Directory& directory) {
  count();
  tar::Entry entry;
  entry.type = tar::Type::Directory;
  const int fd = directory->fd.get();
  set_owner(entry, fd, "", nullptr);
  if (!exact_modes_) directory->mode = 0755;
  if (options_.whiteouts != Whiteouts::None) directory->time = timespec{0, 0};
  if (opaque_made_) make_opaque(fd);
  opaque_made_ = false;
  if (options_.whiteouts == Whiteouts::Overlay) leave_unsettled(directory->path, "");
}

// A whiteout makes way for a directory that hides what is below.
bool Applier::clear(int directory, const char* name, const struct stat& status) {
  if (!is_whiteout(status)) return false;
  if (int error = files_.remove(directory, name, false); error < 0) fail("unlinkat", error);
  opaque_made_ = true;
  return true;
}

bool Applier::keeps_time(const OpenDirectory& directory) {
  return options_.whiteouts != Whiteouts::None || ours_.contains(directory.device, directory.inode, "");
}

}  // namespace caisson
