// Writes files of an inventory as a layer, with others between them that the caller describes. The same members in the
// same order give the same bytes.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/inventory/inventory.h"
#include "core/layer/pipe.h"
#include "core/layer/location.h"
#include "core/tar/entry.h"

namespace caisson {

// At most so many of the bytes of a file, which must be the one that was looked at; a piece at a time. Throws a Fault that
// names the file.
void copy_item(const Inventory& inventory, uint32_t index, uint64_t most,
               const std::function<void(const uint8_t* data, size_t size)>& take, const std::atomic<bool>& cancelled);

struct ArchiveMember {
  std::string name;  // where it comes to lie, without a slash in front
  uint32_t uid = 0, gid = 0;
  std::optional<uint32_t> mode;  // instead of the item's own; without an item it must be there
  // Of the inventory; with `whole` all that is below it as well. Otherwise a directory.
  std::optional<uint32_t> item;
  bool whole = false;
  int64_t mtime = 0;  // of one without an item, seconds since 1970
};

struct ArchiveResult {
  std::string digest;
  uint64_t size = 0, entries = 0;
};

class InventoryArchive {
 public:
  // `latest`: later times become this one.
  InventoryArchive(Inventory& inventory, std::vector<ArchiveMember> members, std::optional<int64_t> latest)
      : inventory_(inventory), members_(std::move(members)), latest_(latest) {}

  // Throws a Fault that names the file.
  ArchiveResult run(FileSink& sink);
  // From any thread.
  void cancel();

 private:
  void add(const ArchiveMember& member);
  void add_item(uint32_t index, const std::string& name, const ArchiveMember& member);
  void add_bytes(uint32_t index);
  void put(const tar::Entry& entry);
  void consume(FileSink& sink);

  Inventory& inventory_;
  const std::vector<ArchiveMember> members_;
  const std::optional<int64_t> latest_;
  std::atomic<bool> stopped_ = false;
  Pipe pipe_{1, stopped_};
  std::atomic<uint64_t> holes_ = 0;
  ArchiveResult result_;
};

}  // namespace caisson
