// Digests of files in an inventory, and a book of those from before, by what the file system says of a file: nothing that
// did not change is read again.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "core/inventory/inventory.h"

namespace caisson {

class DigestBook {
 public:
  // "": none on disk.
  explicit DigestBook(std::string file) : file_(std::move(file)) {}

  // Once. What is not there, or damaged, is an empty one.
  void load();
  const Sha256::Digest* find(const FileIdentity& identity) const;
  void add(const FileIdentity& identity, const Sha256::Digest& digest);
  // Only what `inventory` holds and what had settled before it was taken: a file that was just written may be written
  // again without its times telling. Losing a book costs time alone, so what fails is not told.
  void save(const Inventory& inventory) const;

 private:
  struct Record {
    FileIdentity identity;
    Sha256::Digest digest;
  };
  const std::string file_;
  bool loaded_ = false;
  // Those on disk, in order: a book of many is searched sooner than a table of them is made.
  std::vector<Record> known_;
  std::map<FileIdentity, Sha256::Digest> added_;
};

// Of each item: of a file that of its bytes; of a directory that of all that is in it and of its own mode, with names,
// kinds, modes, targets and bytes, but no times; "" for others. Small files that had to be read are kept in memory, as the
// next step is to copy them.
std::vector<std::string> digest_items(Inventory& inventory, const std::vector<uint32_t>& items, DigestBook& book,
                                      const std::atomic<bool>& cancelled);

}  // namespace caisson
