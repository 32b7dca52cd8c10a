#include "core/layer/names.h"

#include "core/fault.h"

namespace caisson {

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.push_back(part);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return parts;
}

std::string clean_path(std::string_view name) {
  std::string path;
  for (std::string_view part : components(name)) {
    if (part == "..") {
      size_t slash = path.rfind('/');
      path.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

std::string join_path(const std::string& directory, const std::string& name) {
  std::string path = directory.empty() ? name : directory + '/' + name;
  if (path.size() > PATH_BYTES_MAX)
    throw Fault{Fault::Kind::Limit, "a path of more than " + std::to_string(PATH_BYTES_MAX) + " bytes", std::move(path)};
  return path;
}

SplitPath split_path(std::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace caisson
