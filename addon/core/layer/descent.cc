#include "core/layer/descent.h"

#include <fcntl.h>

#include "core/fault.h"

namespace caisson {

namespace {

constexpr int READING = O_RDONLY | O_DIRECTORY;

[[noreturn]] void fail(const char* name, const char* call, int error) {
  throw Fault{Fault::Kind::System, "reading a directory", name, call, -error};
}

}  // namespace

Descent::Descent(FileSystem& files, int directory, const char* name) : files_(files) {
  int fd = files_.open(directory, name[0] ? name : ".", READING);
  if (fd < 0) fail(name, "openat", fd);
  fd_.reset(fd);
  levels_.push_back(look(name));
}

Descent::Level Descent::look(const char* name) const {
  struct stat status;
  if (int error = files_.status(fd_.get(), "", &status); error < 0) fail(name, "fstatat", error);
  return {name, status.st_dev, status.st_ino};
}

void Descent::enter(const char* name) {
  int fd = files_.open(fd_.get(), name, READING);
  if (fd < 0) fail(name, "openat", fd);
  fd_.reset(fd);
  levels_.push_back(look(name));
}

void Descent::leave() {
  int fd = files_.open(fd_.get(), "..", READING);
  if (fd < 0) fail(name().c_str(), "openat", fd);
  fd_.reset(fd);
  const Level now = look("..");
  const Level& wanted = levels_[levels_.size() - 2];
  if (now.device != wanted.device || now.inode != wanted.inode)
    throw Fault{Fault::Kind::Refused, "it was moved while it was read", name()};
  levels_.pop_back();
}

}  // namespace caisson
