// Writes a tree as a tar archive. The same tree gives the same bytes: members are sorted, and nothing of the host but
// the tree itself gets in.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/hash/sha256.h"
#include "core/layer/applier.h"
#include "core/layer/descent.h"
#include "core/layer/filesystem.h"
#include "core/tar/entry.h"

namespace caisson {

struct PackOptions {
  // The directory is one that overlay writes to: its marks become whiteouts.
  bool overlay = false;
  std::string overlay_xattrs = "trusted";
  // The archive is a layer: names that begin with `.wh.` would delete something when it is applied, and are refused.
  bool layer = true;
  // Clean path inside the root of what is packed, "" for all; links on the way to it are followed inside the root.
  std::string base;
  // What it is called in the archive; "" for its members without itself. Needed when it is no directory.
  std::string name;
  // Clean paths, and whether they are deleted: only these, and the directories above them. Absent: everything.
  std::optional<std::map<std::string, bool>> changes;
  std::vector<IdRange> uids, gids;  // as for applying; empty: as they are
  std::optional<uint32_t> uid, gid;  // everything belongs to these
  // Somebody changes the tree meanwhile, and may want to deceive us: what vanishes is left out, what shrinks is filled up
  // with zeros, nothing but regular files is opened, and file systems of the kernel (/proc, /sys) count as empty.
  bool live = false;
  bool subseconds = false;           // times with fractions
  std::optional<int64_t> latest;     // later times become this one, in seconds
  uint64_t bytes_max = UINT64_MAX;   // of the archive
  bool few_holes = false;            // files have HOLES_MAX of them at most (holes.h)
};

struct PackResult {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t sockets_skipped = 0;  // archives cannot hold them
  std::string diff_id;
};

class Packer {
 public:
  // Takes the bytes of the archive in order; may throw.
  using Sink = std::function<void(const uint8_t* data, size_t size)>;

  // `root` is borrowed.
  Packer(FileSystem& files, int root, const PackOptions& options, Sink sink, const std::atomic<bool>& cancelled);

  // Throws a Fault that names the member.
  PackResult run();

 private:
  struct Level {
    std::string path;  // inside the tree that is packed
    std::vector<std::string> names;
    size_t next = 0;
    std::set<std::string> deleted{};
  };

  void run_tree(int directory, const char* name);
  void add_deleted(Level& level);
  bool is_for_us_alone(int directory, const struct stat& status) const;
  void add_base(int directory, const char* name, const struct stat& status);
  bool wanted(const std::string& path) const;
  void add(Descent& here, std::vector<Level>& levels, const std::string& name);
  // `directory` and `name` as in FileSystem; `path` is the name in the archive.
  void add_member(int directory, const char* name, const struct stat& status, const std::string& path);
  void add_directory(int fd, const struct stat& status, const std::string& path);
  bool add_file(int directory, const char* name, const struct stat& status, tar::Entry entry);
  void count_holes(int fd, const tar::Entry& entry);
  void add_data(int fd, const tar::Entry& entry);
  int open_file(int directory, const char* name);
  bool vanished(int error) const;
  void add_whiteout(const std::string& directory, const std::string& name);

  tar::Entry describe(const struct stat& status, const std::string& path) const;
  void read_xattrs(int fd, tar::Entry& entry) const;
  std::string archive_name(const std::string& path) const;
  uint64_t inside(uint32_t id, const std::vector<IdRange>& map, const char* what) const;

  void put(const void* data, size_t size);
  void put_header(const tar::Entry& entry);
  void flush();

  FileSystem& files_;
  const int root_;
  const PackOptions& options_;
  const Sink sink_;
  const std::atomic<bool>& cancelled_;
  Sha256 sha256_;
  std::vector<uint8_t> buffer_;
  uint64_t holes_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, std::string> linked_;  // first name of files with several, by device and inode
  PackResult result_;
};

}  // namespace caisson
