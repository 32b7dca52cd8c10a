#include "core/descriptor.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

namespace caisson {

Result<std::vector<DirectoryEntry>> read_directory(Fd directory, size_t most) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory.get()), closedir);
  if (!stream) return failed("files", "fdopendir");
  directory.release();
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    dirent* entry = readdir(stream.get());
    if (entry == nullptr) break;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (entries.size() == most) return failed("files", "getdents64", "", EFBIG);
    entries.push_back({entry->d_name, entry->d_type});
  }
  if (errno) return failed("files", "getdents64");
  return entries;
}

Result<Fd> connect_socket(Fd socket, const std::string& address, int port, int timeout_ms) {
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  bool six = address.find(':') != std::string::npos;
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(static_cast<uint16_t>(port));
  if ((six ? inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) : inet_pton(AF_INET, address.c_str(), &v4.sin_addr)) != 1)
    return failed("connect", "inet_pton", address, EINVAL);
  auto* where = six ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  std::string name = address + ":" + std::to_string(port);
  if (connect(socket.get(), where, six ? sizeof v6 : sizeof v4) == 0) return socket;
  if (errno != EINPROGRESS) return failed("connect", "connect", name);
  pollfd wait = {socket.get(), POLLOUT, 0};
  int ready;
  do ready = poll(&wait, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) return failed("connect", "connect", name, ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return failed("connect", "connect", name, error);
  return socket;
}

}  // namespace caisson
