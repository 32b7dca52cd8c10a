#include "core/layer/lowers.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <numeric>
#include <set>

#include "core/fault.h"
#include "core/layer/listing.h"
#include "core/layer/names.h"

namespace caisson {

namespace {

constexpr int READING = O_RDONLY | O_DIRECTORY;

[[noreturn]] void fail(const std::string& path, const char* call, int error) {
  throw Fault{Fault::Kind::System, "reading a layer below", path, call, -error};
}

}  // namespace

bool is_overlay_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

bool is_overlay_opaque(FileSystem& files, int directory, const std::string& xattrs) {
  char value[2];
  const std::string name = xattrs + ".overlay.opaque";
  return files.get_xattr(directory, name.c_str(), value, sizeof value) == 1 && value[0] == 'y';
}

Result<int> is_opaque_directory(const std::string& path, const std::string& xattrs) {
  Fd directory(open(path.c_str(), READING | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return failed("bundle", "open", path);
  FileSystem files;
  return is_overlay_opaque(files, directory.get(), xattrs) ? 1 : 0;
}

Lowers::Layers Lowers::root() const {
  Layers layers(roots_.size());
  std::iota(layers.begin(), layers.end(), 0);
  return layers;
}

const std::vector<Fd>& Lowers::open(const std::string& path, const Layers& layers) {
  if (path_ == path) return opened_;
  path_.reset();
  opened_.clear();
  for (size_t layer : layers) {
    int fd = files_.open_plain(roots_[layer], path.empty() ? "." : path.c_str(), READING);
    if (fd < 0) fail(path, "openat2", fd);
    opened_.emplace_back(fd);
  }
  path_ = path;
  return opened_;
}

std::optional<Lowers::Member> Lowers::find(const std::string& path, const Layers& layers, const std::string& name) {
  const std::vector<Fd>& opened = open(path, layers);
  for (size_t i = 0; i < layers.size(); i++) {
    Member member{layers[i], {}};
    int error = files_.status(opened[i].get(), name.c_str(), &member.status);
    if (error == -ENOENT) continue;
    if (error < 0) fail(path + '/' + name, "fstatat", error);
    if (is_overlay_whiteout(member.status)) return std::nullopt;
    return member;
  }
  return std::nullopt;
}

Lowers::Layers Lowers::below(const std::string& path, const Layers& layers, const std::string& name) {
  const std::vector<Fd>& opened = open(path, layers);
  Layers result;
  for (size_t i = 0; i < layers.size(); i++) {
    struct stat status;
    int error = files_.status(opened[i].get(), name.c_str(), &status);
    if (error == -ENOENT) continue;
    if (error < 0) fail(path + '/' + name, "fstatat", error);
    if (!S_ISDIR(status.st_mode)) break;
    result.push_back(layers[i]);
    int fd = files_.open(opened[i].get(), name.c_str(), READING);
    if (fd < 0) fail(path + '/' + name, "openat", fd);
    if (is_overlay_opaque(files_, Fd(fd).get(), xattrs_)) break;
  }
  return result;
}

std::vector<std::string> Lowers::names(const std::string& path, const Layers& layers) {
  std::set<std::string> candidates;
  for (const Fd& directory : open(path, layers)) {
    int fd = files_.open(directory.get(), ".", READING);
    if (fd < 0) fail(path, "openat", fd);
    Fd fresh(fd);
    for_each_name(fd, [&](const char* name, uint8_t) { candidates.emplace(name); });
  }
  std::erase_if(candidates, [&](const std::string& name) { return !find(path, layers, name); });
  return {candidates.begin(), candidates.end()};
}

std::optional<Lowers::Member> Lowers::find(const std::string& path) {
  Layers layers = root();
  std::string parent;
  auto parts = components(path);
  for (size_t i = 0; i < parts.size(); i++) {
    const std::string name(parts[i]);
    if (i + 1 == parts.size()) return find(parent, layers, name);
    layers = below(parent, layers, name);
    if (layers.empty()) return std::nullopt;
    if (!parent.empty()) parent += '/';
    parent += name;
  }
  return std::nullopt;
}

}  // namespace caisson
