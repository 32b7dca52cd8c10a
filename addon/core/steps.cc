#include "core/steps.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/fd.h"
#include "core/shortage.h"
#include "core/sys.h"

namespace caisson {

namespace {

bool perform(const Step& step, const char** syscall) {
  switch (step.kind) {
    case Step::Kind::MakeDirectory:
      *syscall = "mkdir";
      return mkdir(step.path.c_str(), step.closed ? 0700 : 0755) == 0 || (step.lenient && errno == EEXIST);
    case Step::Kind::Write:
      *syscall = "write";
      return sys::write_file(step.path, step.text) || (step.lenient && errno == ENOENT);
    case Step::Kind::CreateFile: {
      *syscall = "open";
      Fd fd(open(step.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
      if (!fd) return false;
      *syscall = "write";
      return write(fd.get(), step.text.data(), step.text.size()) == static_cast<ssize_t>(step.text.size());
    }
    case Step::Kind::Symlink:
      *syscall = "symlink";
      return symlink(step.text.c_str(), step.path.c_str()) == 0 || (step.lenient && errno == EEXIST);
  }
  return false;
}

}  // namespace

Result<> perform(const std::vector<Step>& steps, std::optional<bool> late) {
  for (const Step& step : steps) {
    const char* syscall = "";
    if (step.late != late.value_or(step.late) || perform(step, &syscall)) continue;
    if (gave_descriptors_back(errno) && perform(step, &syscall)) continue;
    return failed(step.stage, syscall, step.path);
  }
  return Nothing{};
}

}  // namespace caisson
