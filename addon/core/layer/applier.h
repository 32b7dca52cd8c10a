// Puts the members of an archive into a directory. The members are hostile: names, links, types and their order.
//
// Every change is made relative to the descriptor of a directory inside the root, under a name of one component, and
// never through a link in its place. Directories are found with openat2(RESOLVE_IN_ROOT); links in their paths, made by
// this archive or one before it, stay inside. ".." in a name is taken by the text, and stops at the root.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "core/layer/filesystem.h"
#include "core/layer/keyed_set.h"
#include "core/layer/remove.h"
#include "core/layer/tree.h"
#include "core/tar/reader.h"

namespace caisson {

// What members named `.wh.NAME` and `.wh..wh..opq` do (OCI image specification, "Whiteouts").
enum class Whiteouts {
  Overlay,  // become what overlay takes for them: the layer stands alone
  Apply,    // delete what layers before this one left in the directory
  None,     // nothing: they are names like others
};

struct IdRange {
  uint64_t inside, outside, count;
};

struct ApplyLimits {
  uint64_t bytes = UINT64_MAX;      // of the archive
  uint64_t entries = UINT64_MAX;    // members, and directories made for them
  uint64_t file_size = UINT64_MAX;  // of one file, with its holes
  uint64_t ratio = 0;               // of the archive to the compressed bytes, from 1 MiB on; 0: any
};

struct ApplyOptions {
  Whiteouts whiteouts = Whiteouts::Overlay;
  // Prefix of overlay's attributes: "trusted", or "user" for mounts with userxattr.
  std::string overlay_xattrs = "trusted";
  // Clean path inside the root that names are relative to; must be a directory.
  std::string base;
  bool owners = true;  // set owners and groups; otherwise all belongs to this process's user
  std::vector<IdRange> uids, gids;  // empty: as they are
  enum class Devices { Make, Skip, Refuse } devices = Devices::Make;
  bool replace_kind = true;  // a directory may replace something else, and something else a directory
  bool lenient_end = false;
  ApplyLimits limits;
};

// What only the layers below can settle.
struct Unsettled {
  std::string path;  // a directory that had no member of its own, or a hard link
  std::string target;  // of the hard link: not in this layer. Otherwise empty.
};

struct ApplyResult {
  uint64_t entries = 0;
  uint64_t bytes = 0;            // of all files, with their holes
  uint64_t xattrs_dropped = 0;   // by policy, or because the file system has none
  uint64_t devices_skipped = 0;
  bool opaque_root = false;      // nothing of the layers below is to be seen: overlay cannot say so of its root
  std::vector<Unsettled> unsettled;
};

class Applier : private Tree::Events {
 public:
  // `root` is borrowed. `entries` is counted up for whoever watches, `cancelled` looked at before every member.
  Applier(FileSystem& files, int root, const ApplyOptions& options, std::atomic<uint64_t>& entries,
          const std::atomic<bool>& cancelled);

  // All members up to the end of the input. Throws a Fault that names the member.
  ApplyResult run(ByteReader& in);

 private:
  struct Place {
    Tree::Directory directory;
    std::string name;  // one component
  };

  void add(const tar::Entry& entry);
  void add_root(const tar::Entry& entry);
  void add_file(const tar::Entry& entry, Place& place);
  void add_directory(const tar::Entry& entry, Place& place, const std::string& path);
  void add_symlink(const tar::Entry& entry, Place& place);
  void add_hard_link(const tar::Entry& entry, Place& place, const std::string& path);
  void add_node(const tar::Entry& entry, Place& place);

  bool whiteout(const std::string& parent, std::string_view base);
  void hide(const std::string& parent, const std::string& name);
  void hide_rest(const std::string& parent);
  void make_opaque(int directory);
  bool is_whiteout(const struct stat& status) const;

  void write(const tar::Entry& entry, int fd);
  void write_piece(int fd, std::span<const uint8_t> piece, int64_t offset);
  void finish_file(const tar::Entry& entry, int fd, const OpenDirectory& parent, mode_t mode);
  void finish_other(const tar::Entry& entry, const Place& place);
  void finish_directory(const tar::Entry& entry, OpenDirectory& directory, const OpenDirectory* parent);
  void set_owner(const tar::Entry& entry, int directory, const char* name, const OpenDirectory* parent);
  bool group_follows(int directory, const char* name, const OpenDirectory& parent);
  void set_xattrs(const tar::Entry& entry, int fd);

  template <typename Make>
  int replace(Place& place, const char* call, Make make);
  void clear_way(Place& place);
  void leave_unsettled(const std::string& path, const std::string& target);
  void count();
  void remember(const Place& place);
  Keeps keeps() const;

  uint32_t outside(uint64_t id, const std::vector<IdRange>& map, const char* what) const;
  [[noreturn]] void fail(const char* call, int error) const;

  // Tree::Events
  void made(const Tree::Directory& directory) override;
  bool clear(int directory, const char* name, const struct stat& status) override;
  bool keeps_time(const OpenDirectory& directory) override;

  FileSystem& files_;
  const int root_;
  const ApplyOptions& options_;
  std::atomic<uint64_t>& entries_;
  const std::atomic<bool>& cancelled_;
  Tree tree_;
  tar::Reader* reader_ = nullptr;
  bool exact_modes_ = false;    // the umask takes nothing away
  bool group_checked_ = false;  // new files get the group of this process, unless their directory says otherwise
  bool group_matches_ = true;
  uint32_t own_uid_, own_gid_;
  KeyedSet ours_;  // members of this archive, by directory and name
  size_t unsettled_bytes_ = 0;
  bool opaque_made_ = false;  // the directory being made replaces a whiteout
  ApplyResult result_;
};

}  // namespace caisson
