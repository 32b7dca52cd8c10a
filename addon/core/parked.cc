#include "core/parked.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "core/message.h"
#include "core/spawn.h"
#include "core/sys.h"

namespace caisson {

namespace {

// Milliseconds. A busy machine takes its time; without a limit one that is stopped would keep us.
constexpr int READY_LIMIT = 5000;
// Nor does one that is stopped hear that it should end.
constexpr int END_LIMIT = 50;

bool happens(int fd, int milliseconds) {
  pollfd wanted = {fd, POLLIN, 0};
  return poll(&wanted, 1, milliseconds) > 0;
}

bool is_ready(int control) {
  message what;
  std::vector<Fd> fds;
  return happens(control, READY_LIMIT) && receive_message(control, &what, &fds) > 0 && what.type == MESSAGE_READY;
}

}  // namespace

Parked::~Parked() {
  if (!pidfd) return;
  control.reset();
  if (!happens(pidfd.get(), END_LIMIT)) sys::pidfd_send_signal(pidfd.get(), SIGKILL);
  siginfo_t info;
  waitid(static_cast<idtype_t>(3) /* P_PIDFD */, pidfd.get(), &info, WEXITED);
}

bool Parked::waits() const { return control && !happens(control.get(), 0) && !happens(pidfd.get(), 0); }

std::optional<Parked> park(const ParkedRecipe& recipe, const std::string& placeholder, const std::string& id) {
  std::string text = recipe.plan.fill(id);
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  Fd plan(static_cast<int>(syscall(SYS_memfd_create, "caisson-plan", MFD_CLOEXEC)));
  if (!null || !plan || write(plan.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return std::nullopt;
  int ends[2], on = 1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return std::nullopt;
  Fd ours(ends[0]), theirs(ends[1]);
  if (setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) return std::nullopt;
  Parked parked;
  for (int i = 0; i < 2; i++) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) < 0) return std::nullopt;
    parked.readers[i].reset(pipe[0]);
    parked.writers[i].reset(pipe[1]);
    if (fcntl(pipe[0], F_SETFL, O_NONBLOCK) < 0) return std::nullopt;
  }
  SpawnOptions spawning;
  spawning.fds = {null.get(), parked.writers[0].get(), parked.writers[1].get(), theirs.get(), plan.get(), recipe.inherited->get()};
  std::vector<Fd> opened;
  for (const std::string& path : recipe.paths) {
    opened.emplace_back(open(put_id(path, placeholder, id).c_str(), O_PATH | O_CLOEXEC));
    if (!opened.back()) return std::nullopt;
    spawning.fds.push_back(opened.back().get());
  }
  auto spawned = spawn(spawning);
  if (!spawned) return std::nullopt;
  parked.pid = spawned->pid;
  parked.pidfd = std::move(spawned->pidfd);
  parked.control = std::move(ours);
  theirs.reset();
  if (!is_ready(parked.control.get())) return std::nullopt;
  return parked;
}

}  // namespace caisson
