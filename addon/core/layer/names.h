// Names inside a tree, as bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caisson {

// Bytes of a path, and levels of directories: what openat2(2) takes.
inline constexpr size_t PATH_BYTES_MAX = 4095;

// "a/b" of "/a//./x/../b/": relative to the root, which is "", and never above it. By the text alone, as containerd
// and Docker do: links are not looked at.
std::string clean_path(std::string_view name);

struct SplitPath {
  std::string_view parent, base;
};
// Of a clean path that is not "".
SplitPath split_path(std::string_view path);

// Of a directory and a name in it. Throws a Fault where it is longer than PATH_BYTES_MAX: a program makes directories in
// each other without end, and the paths of all of them take the square of their number.
std::string join_path(const std::string& directory, const std::string& name);

std::vector<std::string_view> components(std::string_view path);

}  // namespace caisson
