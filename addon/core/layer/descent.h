// Going down into directories and up again, with only the innermost one open: no depth runs out of descriptors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/layer/filesystem.h"

namespace caisson {

class Descent {
 public:
  // Starts in `name` in `directory`, or with "" in `directory` itself. Throw a Fault.
  Descent(FileSystem& files, int directory, const char* name);

  void enter(const char* name);
  // To the directory above, if it is still the one that we came from.
  void leave();

  int fd() const { return fd_.get(); }
  // Directories between the start and here.
  size_t depth() const { return levels_.size() - 1; }
  // Name of the innermost one.
  const std::string& name() const { return levels_.back().name; }
  uint64_t device() const { return levels_.back().device; }
  uint64_t inode() const { return levels_.back().inode; }

 private:
  struct Level {
    std::string name;
    uint64_t device, inode;
  };

  Level look(const char* name) const;

  FileSystem& files_;
  Fd fd_;
  std::vector<Level> levels_;
};

}  // namespace caisson
