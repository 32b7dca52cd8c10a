#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "core/network/resolver.h"

namespace caisson {

namespace {

// Names become parts of paths.
bool is_plain(const std::string& name) {
  if (name.empty() || name[0] == '.' || name.size() > 253) return false;
  return std::all_of(name.begin(), name.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' ||
           letter == '.';
  });
}

bool read_names(const std::string& directory, std::vector<Address>* found) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (!stream) return false;
  bool any = false;
  while (dirent* entry = readdir(stream.get())) {
    if (entry->d_name[0] == '.') continue;
    Address address = parse_address(entry->d_name);
    // A link of an owner that is gone leads nowhere.
    if (address.family == 0 || faccessat(dirfd(stream.get()), entry->d_name, F_OK, 0) != 0) continue;
    found->push_back(address);
    any = true;
  }
  return any;
}

}  // namespace

bool look_up(const ResolverSettings& settings, const std::string& name, std::vector<Address>* found) {
  if (auto host = settings.hosts.find(name); host != settings.hosts.end()) {
    *found = host->second;
    return true;
  }
  if (!is_plain(name)) return false;
  bool any = false;
  for (const std::string& network : settings.networks) any |= read_names(network + "/" + name, found);
  static thread_local std::minstd_rand random(std::random_device{}());
  std::shuffle(found->begin(), found->end(), random);
  return any;
}

}  // namespace caisson
