// Removing trees.
#pragma once

#include <functional>
#include <string_view>

#include "core/layer/filesystem.h"

namespace caisson {

// Members for which this is true stay, and with them the directories above them.
using Keeps = std::function<bool(uint64_t device, uint64_t inode, std::string_view name)>;

// Removes `name` in `directory` with all below it. Links are removed, not followed. Nothing there is no error. Throw a
// Fault.
void remove_tree(FileSystem& files, int directory, const char* name, const Keeps& keeps = nullptr);

// All that is in the directory `name`, or with "" in `directory` itself.
void remove_content(FileSystem& files, int directory, const char* name, const Keeps& keeps = nullptr);

}  // namespace caisson
