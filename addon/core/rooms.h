// Rooms: what a program is to live in, made before anybody asks for it: cgroups, and namespaces without a process in
// them, with everything mounted that belongs to neither its processes nor its cgroups.
//
// Each is for one program, and is taken down on the thread that makes them when that has ended. The namespaces are
// descriptors of this process: whatever ends it ends them. The cgroups lie below the owner's.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/cgroup.h"
#include "core/fd.h"
#include "core/parked.h"
#include "core/pattern.h"
#include "core/steps.h"

namespace caisson {

struct RoomRecipe;

struct Room {
  std::string id;
  CgroupPaths cgroup;          // removed with the room; not those that a process has taken over
  std::vector<Fd> namespaces;  // net, ipc, mnt, as far as it has them of its own
  std::vector<Fd> mounts;      // those that the program's own steps name; the first is one that is mounted nowhere itself
  std::optional<Parked> parked;  // who goes on in it
  std::shared_ptr<const RoomRecipe> recipe;  // for another one
};

struct RoomRecipe {
  std::string placeholder;    // for the id
  std::vector<Step> steps;    // make `cgroup`
  CgroupPaths cgroup;
  uint64_t namespaces = 0;    // CLONE_NEW*: none, or the mount namespace and perhaps net and ipc
  Pattern plan;               // for the mount namespace: mounts only (core/room_steps.h)
  std::vector<size_t> kept;   // slots of the plan: Room::mounts
  std::optional<ParkedRecipe> parked;
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
  std::chrono::steady_clock::time_point fails_until_;  // one could not be made: who starts a container without finds out why
  std::chrono::seconds rest_{0};                       // after that
};

// Makes up for what was taken.
void refill_rooms();
// Takes one down, a little later.
void leave_room(Room room);
// Who takes the place of one that waited in it and was killed. As park() blocks, and where.
std::optional<Parked> park_another(const Room& room);
// At once, all that nobody has taken; for a while there are no new ones. False: there were none. From any thread.
bool drop_rooms();

}  // namespace caisson
