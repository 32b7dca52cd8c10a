// Reading directories.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/fd.h"

namespace caisson {

// Calls back with every name but "." and "..", and its d_type (DT_*, DT_UNKNOWN where the file system does not tell).
// `fd` must be open for reading, at its start; what was removed meanwhile holds nothing. Throws a Fault.
void for_each_name(int fd, const std::function<void(const char* name, uint8_t type)>& callback);

// All names, sorted as bytes.
std::vector<std::string> sorted_names(int fd);

}  // namespace caisson
