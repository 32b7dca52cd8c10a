#include "core/message.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace caisson {

namespace {
constexpr size_t FDS_MAX = 64;
}

bool send_message(int socket, const message& what, const std::vector<int>& fds) {
  return send_packet(socket, &what, sizeof what, fds);
}

bool send_packet(int socket, const void* bytes, size_t size, const std::vector<int>& fds) {
  iovec vector = {const_cast<void*>(bytes), size};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (fds.size() > FDS_MAX) return errno = E2BIG, false;
  if (!fds.empty()) {
    header.msg_control = space;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

ssize_t receive_packet(int socket, void* bytes, size_t size, std::vector<Fd>* fds, int flags, pid_t* sender) {
  iovec vector = {bytes, size};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * FDS_MAX) + CMSG_SPACE(sizeof(ucred))];
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = space;
  header.msg_controllen = sizeof space;
  ssize_t n;
  // ECONNRESET says once that the other end has left something unread; what it sent before can be read after that.
  do n = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
  while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return n;
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET) continue;
    if (rights->cmsg_type == SCM_CREDENTIALS && sender != nullptr) {
      ucred who;
      memcpy(&who, CMSG_DATA(rights), sizeof who);
      *sender = who.pid;
    }
    if (rights->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof fd);
      fds->emplace_back(fd);
    }
  }
  return n;
}

int receive_message(int socket, message* what, std::vector<Fd>* fds, pid_t* sender) {
  ssize_t n = receive_packet(socket, what, sizeof *what, fds, MSG_DONTWAIT, sender);
  if (n <= 0) return static_cast<int>(n);
  if (n != static_cast<ssize_t>(sizeof *what)) return errno = EPROTO, -1;
  what->syscall[sizeof what->syscall - 1] = 0;
  what->detail[sizeof what->detail - 1] = 0;
  return 1;
}

}  // namespace caisson
