// Quotas of projects: bounds for all that lies below a directory, whoever writes it. Of ext4, XFS and F2FS.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace caisson {

struct QuotaBounds {
  uint64_t bytes;
  uint64_t files;
};

// Makes an empty directory, and whatever will be made in it, the project's, and bounds the project. EEXIST: another has
// the number. Needs CAP_SYS_ADMIN.
Result<> bound_directory(const std::string& directory, uint32_t project, QuotaBounds bounds);

// `directory`: any of the file system. What is the project's has no bounds any more.
Result<> forget_project(const std::string& directory, uint32_t project);

}  // namespace caisson
