// Small things done to the file system around a process, in order: cgroups, scratch directories, bundles.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"

namespace caisson {

struct Step {
  enum class Kind {
    MakeDirectory,
    Write,       // to a file that exists, in one call, as kernel files want it
    CreateFile,  // a new file
    Symlink,     // `text` is the target
  };
  Kind kind;
  std::string path;
  std::string text;
  // For the failure record.
  std::string stage;
  // MakeDirectory, Symlink: it may be there. Write: the file may be missing.
  bool lenient = false;
  // MakeDirectory: nobody else may pass.
  bool closed = false;
  // Done when the process is there, while its init program is at work.
  bool late = false;
};

// All of them, or those that are late, or are not. Stops at the first that fails.
Result<> perform(const std::vector<Step>& steps, std::optional<bool> late = {});

}  // namespace caisson
