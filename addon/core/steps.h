// Small things done to the file system around a process, in order: cgroup directories and files, scratch directories.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace caisson {

struct Step {
  enum class Kind { MakeDirectory, Write };
  Kind kind;
  std::string path;
  std::string text;
  // For the failure record.
  std::string stage;
  // MakeDirectory: it may be there. Write: the file may be missing.
  bool lenient = false;
};

// Stops at the first that fails.
Result<> perform(const std::vector<Step>& steps);

}  // namespace caisson
