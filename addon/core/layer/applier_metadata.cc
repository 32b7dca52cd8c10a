// The applier's part about owners, modes, times and attributes.
#include <fcntl.h>

#include "core/fault.h"
#include "core/layer/applier.h"
#include "core/layer/xattr.h"

namespace caisson {

namespace {

struct Times {
  timespec both[2];
  explicit Times(const tar::Time& time) {
    both[0].tv_sec = static_cast<time_t>(time.seconds);
    both[0].tv_nsec = time.nanoseconds;
    both[1] = both[0];
  }
};

}  // namespace

uint32_t Applier::outside(uint64_t id, const std::vector<IdRange>& map, const char* what) const {
  // The last one means "none" to the kernel.
  constexpr uint64_t ID_MAX = 0xfffffffe;
  if (map.empty() && id <= ID_MAX) return static_cast<uint32_t>(id);
  for (const IdRange& range : map)
    if (id >= range.inside && id - range.inside < range.count)
      return static_cast<uint32_t>(range.outside + (id - range.inside));
  refused(std::string("its ") + what + ' ' + std::to_string(id) + (map.empty() ? " is no id" : " is not in the id map"));
}

// `parent`: of something that was just made; null for what was there before.
void Applier::set_owner(const tar::Entry& entry, int directory, const char* name, const OpenDirectory* parent) {
  if (!options_.owners) return;
  const uint32_t uid = outside(entry.uid, options_.uids, "uid"), gid = outside(entry.gid, options_.gids, "gid");
  if (parent != nullptr && uid == own_uid_ && gid == own_gid_ && group_follows(directory, name, *parent)) return;
  if (int error = files_.set_owner(directory, name, uid, gid); error < 0) fail("fchownat", error);
}

// Whether new members of `parent` have the group of this process. A file system may be mounted so that they have not;
// the first member tells.
bool Applier::group_follows(int directory, const char* name, const OpenDirectory& parent) {
  if (parent.gives_group) return false;
  if (!group_checked_) {
    struct stat status;
    if (int error = files_.status(directory, name, &status); error < 0) fail("fstatat", error);
    group_checked_ = true;
    group_matches_ = status.st_gid == own_gid_;
  }
  return group_matches_;
}

// After the last byte: writing takes capabilities and set-id bits away, and so does a change of the owner.
void Applier::finish_file(const tar::Entry& entry, int fd, const OpenDirectory& parent, mode_t mode) {
  set_owner(entry, fd, "", &parent);
  set_xattrs(entry, fd);
  if (entry.mode != mode || !exact_modes_)
    if (int error = files_.set_mode(fd, entry.mode); error < 0) fail("fchmod", error);
  if (int error = files_.set_times(fd, "", Times(entry.mtime).both); error < 0) fail("utimensat", error);
}

// Links and nodes. The owner is set through a descriptor: under the name something else could stand by now.
void Applier::finish_other(const tar::Entry& entry, const Place& place) {
  const int directory = place.directory->fd.get();
  if (options_.owners) {
    int fd = files_.open(directory, place.name.c_str(), O_PATH);
    if (fd < 0) fail("openat", fd);
    Fd made(fd);
    set_owner(entry, fd, "", place.directory.get());
  }
  result_.xattrs_dropped += entry.xattrs.size();
  if (int error = files_.set_times(directory, place.name.c_str(), Times(entry.mtime).both); error < 0)
    fail("utimensat", error);
}

void Applier::finish_directory(const tar::Entry& entry, OpenDirectory& directory, const OpenDirectory* parent) {
  set_owner(entry, directory.fd.get(), "", parent);
  set_xattrs(entry, directory.fd.get());
  directory.named = true;
  directory.mode = entry.mode;
  directory.time = Times(entry.mtime).both[0];
}

void Applier::set_xattrs(const tar::Entry& entry, int fd) {
  for (const tar::Xattr& xattr : entry.xattrs) {
    if (xattr_fate(xattr.name) == XattrFate::Dropped) {
      result_.xattrs_dropped++;
      continue;
    }
    const std::string* value = &xattr.value;
    std::optional<std::string> own;
    const bool capability = xattr.name == CAPABILITY;
    if (capability && options_.owners && !options_.uids.empty()) {
      own = capability_for_root(xattr.value, outside(0, options_.uids, "uid"));
      if (!own) malformed("security.capability is damaged");
      value = &*own;
    }
    int error = files_.set_xattr(fd, xattr.name.c_str(), value->data(), value->size());
    // Without them a file has less power, not more. An ordinary user cannot set capabilities.
    if (error == -EOPNOTSUPP || (error == -EPERM && capability && !options_.owners))
      result_.xattrs_dropped++;
    else if (error < 0)
      fail("fsetxattr", error);
  }
}

}  // namespace caisson
