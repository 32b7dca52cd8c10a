// Rooms: what a container is to live in, made before anybody asks for it. Namespaces without a process in them, with
// everything mounted that belongs to neither its processes nor its cgroup.
//
// Each is for one container, and is taken down on the thread that makes them when that has ended. They are descriptors
// of this process: whatever ends it ends them.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/pattern.h"

namespace caisson {

struct Room {
  std::string id;
  std::vector<Fd> namespaces;  // net, ipc, mnt, as far as it has them of its own
  std::vector<Fd> mounts;      // those that the container's own steps name
};

struct RoomRecipe {
  Pattern plan;              // mounts only (core/room_steps.h)
  uint64_t namespaces;       // CLONE_NEW*: the mount namespace, perhaps net and ipc
  std::vector<size_t> kept;  // slots of the plan: Room::mounts
};

// Of one kind.
class RoomStock {
 public:
  explicit RoomStock(RoomRecipe recipe);
  ~RoomStock();
  RoomStock(const RoomStock&) = delete;

  // Never waits. Whoever asks for the second time within seconds finds some soon after.
  std::optional<Room> take();

 private:
  friend class RoomKeeper;

  const std::shared_ptr<const RoomRecipe> recipe_;
  // Guarded by the keeper's mutex.
  std::deque<Room> rooms_;
  size_t target_ = 0;
  std::chrono::steady_clock::time_point last_;
  bool works_ = true;  // until one could not be made: who starts a container without finds out why
};

// Makes up for what was taken.
void refill_rooms();
// Takes one down, a little later.
void leave_room(Room room);

}  // namespace caisson
