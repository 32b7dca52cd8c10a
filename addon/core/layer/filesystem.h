// The system calls that change a tree, all relative to a descriptor.
//
// This is a seam: an ordinary user may not give files away or make devices, but a helper process in a user namespace
// may, and can stand behind this interface. Reading and writing go straight to the descriptors.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace caisson {

// Each call returns 0, a descriptor or a length, or a negative errno. No name is ever followed when it is a symbolic
// link. Where `name` may be empty, the call is about `directory` itself.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The calling thread gets ready: files get the modes that are asked for, whatever the process's umask is. Returns
  // false where that cannot be had.
  virtual bool enter_thread();

  // openat(2) with O_NOFOLLOW and O_CLOEXEC.
  virtual int open(int directory, const char* name, int flags, mode_t mode = 0);
  // openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS: links on the way stay inside `root`.
  virtual int open_below(int root, const char* path, int flags);
  // The same, but links on the way are ELOOP.
  virtual int open_plain(int root, const char* path, int flags);
  // The same file with other flags, through the descriptor (any, O_PATH too): the name may be another file's by now.
  virtual int reopen(int fd, int flags);
  virtual int make_directory(int directory, const char* name, mode_t mode);
  virtual int make_node(int directory, const char* name, mode_t mode, dev_t device);
  virtual int make_symlink(const char* target, int directory, const char* name);
  virtual int make_link(int from, const char* from_name, int directory, const char* name);
  virtual int remove(int directory, const char* name, bool is_directory);
  virtual int status(int directory, const char* name, struct stat* result);
  virtual ssize_t read_link(int directory, const char* name, char* target, size_t size);
  virtual int set_owner(int directory, const char* name, uid_t uid, gid_t gid);
  virtual int set_times(int directory, const char* name, const timespec times[2]);
  // An owner who is not root can be locked out of a directory, or of changing it: gives all rights to this process's
  // user if it is theirs and needs that. Best effort.
  virtual void unlock_own(int directory, const char* name);
  // These want a descriptor that is not O_PATH.
  virtual int set_mode(int fd, mode_t mode);
  virtual int set_xattr(int fd, const char* name, const void* value, size_t size);
  virtual ssize_t get_xattr(int fd, const char* name, void* value, size_t size);
  virtual ssize_t list_xattrs(int fd, char* names, size_t size);
};

}  // namespace caisson
