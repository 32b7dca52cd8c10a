#include "core/shortage.h"

#include "core/netns.h"
#include "core/rooms.h"

namespace caisson {

bool gave_descriptors_back(int error) {
  if (error != EMFILE && error != ENFILE) return false;
  bool rooms = drop_rooms(), networks = drop_network_namespaces();
  // Whoever tries once more and does not looks here.
  errno = error;
  return rooms || networks;
}

}  // namespace caisson
