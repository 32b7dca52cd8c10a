#include "core/layer/listing.h"

#include <dirent.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/bytes.h"
#include "core/fault.h"

namespace caisson {

void for_each_name(int fd, const std::function<void(const char* name, uint8_t type)>& callback) {
  // struct linux_dirent64 of getdents64(2): inode 8, offset 8, length of the record 2, type 1, name.
  constexpr size_t SIZE = 32 << 10, LENGTH_AT = 16, TYPE_AT = 18, NAME_AT = 19;
  auto buffer = std::make_unique<char[]>(SIZE);
  for (;;) {
    long size = syscall(SYS_getdents64, fd, buffer.get(), SIZE);
    // It was removed while it was open, and so is empty.
    if (size < 0 && errno == ENOENT) return;
    if (size < 0) system_fault("reading a directory", "getdents64");
    if (size == 0) return;
    for (char* at = buffer.get(); at < buffer.get() + size; at += load_native<uint16_t>(at + LENGTH_AT)) {
      const char* name = at + NAME_AT;
      if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
      callback(name, static_cast<uint8_t>(at[TYPE_AT]));
    }
  }
}

std::vector<std::string> sorted_names(int fd) {
  std::vector<std::string> names;
  for_each_name(fd, [&](const char* name, uint8_t) { names.emplace_back(name); });
  // std::string compares as unsigned bytes.
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace caisson
