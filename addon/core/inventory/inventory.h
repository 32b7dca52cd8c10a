// What is in a directory of the host that a build copies from: looked at once, and read when it is needed.
//
// Nothing outside of the directory is ever reached: names are opened below it without following a link. What is read
// must still be the file that was looked at.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/hash/sha256.h"
#include "core/inventory/patterns.h"

namespace caisson {

// That it is the same file with the same bytes, as far as the file system tells. Times in nanoseconds since 1970.
struct FileIdentity {
  uint64_t device, inode, size;
  int64_t modified, changed;
  auto operator<=>(const FileIdentity&) const = default;
};

struct InventoryItem {
  std::string name;
  uint32_t parent = 0;
  uint32_t mode = 0;  // with its type
  uint64_t device = 0;  // that a device node stands for
  FileIdentity identity{};
  bool hollow = false;  // a file that may have holes
  std::string target;  // of a symbolic link
  // Those in a directory, sorted by name as bytes.
  uint32_t first = 0, count = 0;
  // Of a file: SHA-256 of its bytes, and the bytes where they were kept.
  std::optional<Sha256::Digest> digest{};
  std::string bytes{};
  bool has_bytes = false;
};

class Inventory {
 public:
  // All below a directory that the patterns do not leave out. Sockets are left out, and what vanishes meanwhile. Throws a
  // Fault that names the path.
  static Inventory take(const std::string& root, const IgnorePatterns& patterns, const std::atomic<bool>& cancelled);

  // Item 0 is the directory itself.
  const InventoryItem& item(uint32_t index) const { return items_[index]; }
  InventoryItem& item(uint32_t index) { return items_[index]; }
  size_t size() const { return items_.size(); }
  // Relative to the directory; "" for itself.
  std::string path(uint32_t index) const;
  // When it was begun, in nanoseconds since 1970.
  int64_t began() const { return began_; }

  // The file, which must be the one that was looked at. Throws a Fault.
  Fd open(uint32_t index) const;
  // Adds the holes of a file, which is open, to those of others: together they may have HOLES_MAX. Throws a Fault.
  void count_holes(uint32_t index, int fd, std::atomic<uint64_t>& holes) const;
  // What was kept of files in memory.
  void forget_bytes();

 private:
  // What was found in one directory, by name.
  struct Listed {
    std::vector<InventoryItem> items{};
    // For each: whether the patterns leave it out, unless something in it is not; and what they say of what is in it.
    std::vector<bool> doubtful{};
    std::vector<IgnorePatterns::State> states{};
  };

  Listed list(uint32_t index, const IgnorePatterns& patterns, const IgnorePatterns::State& above) const;
  void append(uint32_t directory, Listed listed, std::vector<IgnorePatterns::State>& states);
  std::optional<InventoryItem> look(int directory, const char* name, const std::string& path, uint32_t parent) const;
  void drop_empty();

  Fd root_;
  int64_t began_ = 0;
  std::vector<InventoryItem> items_;
  // Directories that are left out, unless something in them is not.
  std::vector<bool> doubtful_;
};

}  // namespace caisson
