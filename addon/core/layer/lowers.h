// The layers below, seen together as overlay shows them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/layer/filesystem.h"
#include "core/result.h"

namespace caisson {

// Overlay's marks (Documentation/filesystems/overlayfs.rst). `xattrs` is "trusted" or "user".
bool is_overlay_whiteout(const struct stat& status);
bool is_overlay_opaque(FileSystem& files, int directory, const std::string& xattrs);
// The same of a directory by its path, which is none when it is a link: 1 or 0.
Result<int> is_opaque_directory(const std::string& path, const std::string& xattrs);

class Lowers {
 public:
  // Layers in which a directory is to be seen, the uppermost first.
  using Layers = std::vector<size_t>;

  struct Member {
    size_t layer;
    struct stat status;
  };

  // `roots` are borrowed, the uppermost layer first.
  Lowers(FileSystem& files, std::vector<int> roots, std::string xattrs)
      : files_(files), roots_(std::move(roots)), xattrs_(std::move(xattrs)) {}

  // The root is to be seen in all of them.
  Layers root() const;
  // A member of the directory `path`, which is to be seen in `layers`. Throw a Fault.
  std::optional<Member> find(const std::string& path, const Layers& layers, const std::string& name);
  // The layers in which that member is a directory.
  Layers below(const std::string& path, const Layers& layers, const std::string& name);
  // All members of that directory, sorted.
  std::vector<std::string> names(const std::string& path, const Layers& layers);

  // The same from the root on, by a clean path.
  std::optional<Member> find(const std::string& path);
  int root_of(const Member& member) const { return roots_[member.layer]; }

 private:
  const std::vector<Fd>& open(const std::string& path, const Layers& layers);

  FileSystem& files_;
  const std::vector<int> roots_;
  const std::string xattrs_;
  // The directory looked at last, in its layers.
  std::optional<std::string> path_;
  std::vector<Fd> opened_;
};

}  // namespace caisson
