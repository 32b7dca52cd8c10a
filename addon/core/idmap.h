// The id maps of a new user namespace (user_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <string>

#include "core/result.h"

namespace caisson {

// How a user namespace gets its ids: by this process, or by the set-id helpers.
struct IdMaps {
  std::string uid, gid;  // texts for /proc/PID/uid_map and gid_map; both empty: no user namespace
  bool deny_setgroups = false;
  std::string uid_helper, gid_helper;  // paths of newuidmap and newgidmap; empty: written directly
};

Result<> write_id_maps(pid_t pid, const IdMaps& maps);

}  // namespace caisson
