// The owner's end of the control socket (init/plan.h has the messages).
#pragma once

#include <sys/types.h>

#include <vector>

#include "core/fd.h"
#include "init/plan.h"

namespace caisson {

// False with errno set. Descriptors are copied into the message; the caller keeps its own.
bool send_message(int socket, const message& what, const std::vector<int>& fds = {});

// One packet of any form.
bool send_packet(int socket, const void* bytes, size_t size, const std::vector<int>& fds);

// 1: a message, 0: the other end is closed, -1: errno (EAGAIN when there is none now). `sender`: its pid, where the socket
// has SO_PASSCRED.
int receive_message(int socket, message* what, std::vector<Fd>* fds, pid_t* sender = nullptr);

// One packet of any form with the descriptors beside it; as recvmsg(2).
ssize_t receive_packet(int socket, void* bytes, size_t size, std::vector<Fd>* fds, int flags, pid_t* sender = nullptr);

}  // namespace caisson
