// The directories of a tree that is being changed, by path.
//
// A directory stays open while members are put into it. When it is closed, its time and mode are set: members that came
// after it have changed the time, and a mode may forbid to put anything in. Keeping at most DIRECTORIES_MAX of them
// bounds the memory, whatever the order and the number of members.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/fd.h"
#include "core/layer/filesystem.h"

namespace caisson {

struct OpenDirectory {
  std::string path;
  Fd fd;
  uint64_t device = 0, inode = 0;
  bool gives_group = false;  // new members get its group (S_ISGID)
  // To be set when it is closed.
  std::optional<timespec> time;
  std::optional<mode_t> mode;
  bool named = false;  // they were asked for, and must not fail
};

class Tree {
 public:
  using Directory = std::shared_ptr<OpenDirectory>;
  static constexpr size_t DIRECTORIES_MAX = 64;
  // Links on the way, as in the kernel.
  static constexpr int LINKS_MAX = 40;

  // What the owner wants to know.
  class Events {
   public:
    virtual ~Events() = default;
    // A directory on the way was missing and has been made.
    virtual void made(const Directory& directory) = 0;
    // Something that is no directory stands on the way. True when it has been removed, and a directory may be made.
    virtual bool clear(int directory, const char* name, const struct stat& status) = 0;
    // Whether a directory that was there keeps its time when it is changed.
    virtual bool keeps_time(const OpenDirectory& directory) = 0;
  };

  // `root` is borrowed.
  Tree(FileSystem& files, int root, Events& events) : files_(files), root_(root), events_(events) {}

  // By a clean path (names.h); links on the way are followed inside the root. Null when there is none. Throw a Fault.
  Directory find(const std::string& path);
  // The same; what is missing is made, with mode 0755.
  Directory make(const std::string& path);
  // Takes in a directory that was just opened for reading, in place of an older one of this path.
  Directory keep(std::string path, Fd fd);

  // Closes all. To be called when something was removed that may have been on the way to them, and at the end.
  void forget();

 private:
  // A step of a walk; without a descriptor there is no directory.
  struct Level {
    std::string path, name;
    Fd fd;
  };

  Directory get(const std::string& path, bool making);
  Directory open(const std::string& path);
  Directory walk(const std::string& path, bool making);
  std::string look(int above, Level& level);
  void make_level(int above, Level& level);
  void hold_parent(int directory, const std::string& path);
  void close(OpenDirectory& directory);

  FileSystem& files_;
  const int root_;
  Events& events_;
  std::unordered_map<std::string, Directory> open_;
  bool has_openat2_ = true;
};

}  // namespace caisson
