// Locks between processes, which end with the process that holds them.
#pragma once

#include <string>

#include "core/fd.h"
#include "core/result.h"

namespace caisson {

// Opens (and makes) the file and locks it; what it has locked is what the path leads to then. A negative descriptor inside means that another holds it (`wait` false).
Result<int> lock_file(const std::string& path, bool exclusive, bool wait);

}  // namespace caisson
