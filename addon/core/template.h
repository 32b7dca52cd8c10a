// A blueprint for many processes that differ only in an id and in a part of their plan.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/pattern.h"
#include "core/process.h"
#include "core/rooms.h"

namespace caisson {

// What is done for each process.
struct PlanPattern {
  Pattern text;
  size_t insert_at;  // an offset, between two records
};

// For those that find a room made: another plan, which enters it, and what belongs to that.
struct RoomPattern {
  PlanPattern plan;
  uint64_t namespaces;  // of the process itself
  RoomRecipe recipe;  // but for what the blueprint has, too
};

class Template {
 public:
  // `placeholder` stands for the id wherever it is in the blueprint (see Pattern); the blueprint's own plan is not used.
  Template(Blueprint blueprint, PlanPattern plan, std::optional<RoomPattern> room, std::string placeholder);

  // The id of a room that is ready, for a process that is about to be made; empty: none is.
  std::string take_room();

  // The room of a process that is not made after all.
  void give_back(const std::string& id);

  // What waits for the next ones goes, and nothing is made ahead any more.
  void close() { stock_.reset(); }

  struct Parts {
    std::string_view id;        // that of a room, or any other as long as the placeholder
    std::string_view inserted;  // records for the place that was named
    std::string_view appended;  // records for the end
    uint32_t records;           // in both together
  };
  ProcessOptions instantiate(const Parts& parts);

 private:
  const Blueprint blueprint_;
  const PlanPattern plan_;
  std::optional<RoomPattern> room_;
  std::unique_ptr<RoomStock> stock_;
  std::unordered_map<std::string, Room> taken_;
  const std::string placeholder_;
};

}  // namespace caisson
