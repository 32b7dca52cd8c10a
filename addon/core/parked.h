// A process of the init program that was made ahead: it has done what does not depend on who comes, and waits (WAIT in
// init/plan.h) for the rest of its plan. It ends when its socket is closed, by whatever end of this process too.
#pragma once

#include <sys/types.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/pattern.h"

namespace caisson {

struct ParkedRecipe {
  Pattern plan;                   // ends with WAIT
  std::shared_ptr<Fd> inherited;  // for the first slot
  std::vector<std::string> paths;  // opened with O_PATH for the next ones
};

struct Parked {
  pid_t pid = -1;
  Fd pidfd;    // of the process that was made; another that it has made may be the one that waits
  Fd control;  // as Process has it
  // Pipes that it has for its output; the ends that are read do not wait.
  std::array<Fd, 2> readers, writers;

  Parked() = default;
  Parked(Parked&&) = default;
  Parked& operator=(Parked&&) = default;
  // Ends what nobody has taken over, and waits for that.
  ~Parked();

  // Still there, and not told anything.
  bool waits() const;
};

// Returns when it waits. Blocks for some tenths of a millisecond: on a thread that lives as long as the process, and whose
// priority a program may have. Nothing: it could not be made, and whoever needs it finds out why.
std::optional<Parked> park(const ParkedRecipe& recipe, const std::string& placeholder, const std::string& id);

}  // namespace caisson
