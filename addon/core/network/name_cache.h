// What directories of names held (lib/network/names.ts), for as long as inotify(7) tells of no change. On one thread.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/network/link.h"

namespace caisson {

class NameCache {
 public:
  NameCache();
  // Addresses in a directory of names whose owners are there. The pointer is good until the next call.
  const std::vector<Address>* read(const std::string& directory);

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::vector<Address> addresses;
    Clock::time_point until;
    // Of the directory itself, and of those in which its owners' directories are.
    int watch = -1;
    std::vector<int> owners;
  };

  bool forget_changed();
  void forget(std::map<std::string, Entry>::iterator entry);
  bool read_directory(const std::string& directory, Entry* entry);
  int watch_owners(const std::string& directory);

  Fd inotify_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, int> owners_;
};

}  // namespace caisson
