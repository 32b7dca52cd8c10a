// Namespaces as /proc and nsfs show them (namespaces(7), ioctl_nsfs(2)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

struct Namespace {
  Fd fd;
  int flag;  // CLONE_NEW*
  uint64_t inode;
};

// Opens an nsfs file: /proc/PID/ns/*, or one that is mounted somewhere. EINVAL for any other file, which is not opened.
Result<Namespace> open_namespace(const std::string& path);

// What the kernel says about a namespace; zero where it does not (another kind, or out of our sight).
struct NamespaceFacts {
  uint64_t parent = 0;           // of a pid or user namespace
  std::vector<uint64_t> owners;  // the user namespace that it belongs to, then that one's parents
  int64_t owner_uid = -1;        // of a user namespace: who made it
};
NamespaceFacts namespace_facts(int fd);

// A namespace that processes are in, or that is held by an open file, a mount or another namespace.
struct NamespaceRow {
  int flag;
  uint64_t inode;
  int processes = 0;
  // The lowest process id in it; 0: none.
  pid_t pid = 0, ppid = 0;
  uid_t uid = 0;
  std::string user, command;
  std::string path;  // a file that leads to it; empty where none does
  NamespaceFacts facts;
};

// Those of the kinds in `flags`, by inode; with a pid only those of that process. Reads all of /proc: some 60
// microseconds for each process. Processes that end meanwhile, and those that we may not look at, are left out.
Result<std::vector<NamespaceRow>> list_namespaces(uint64_t flags, pid_t pid);

// Mounts a namespace at a path, which is made when it is missing.
Result<> persist_namespace(int fd, const std::string& path);

}  // namespace caisson
