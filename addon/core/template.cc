#include "core/template.h"

#include <cstring>
#include <utility>

#include "init/plan.h"

namespace caisson {

Template::Template(Blueprint blueprint, PlanPattern plan, std::optional<RoomPattern> room, std::string placeholder)
    : blueprint_(std::move(blueprint)),
      plan_(std::move(plan)),
      room_(std::move(room)),
      placeholder_(std::move(placeholder)) {
  if (!room_) return;
  RoomRecipe& recipe = room_->recipe;
  recipe.placeholder = placeholder_;
  recipe.steps = blueprint_.prepare;
  recipe.cgroup = blueprint_.cgroup;
  if (recipe.parked) recipe.parked->paths = blueprint_.inherited_paths;
  stock_ = std::make_unique<RoomStock>(std::move(recipe));
}

std::string Template::take_room() {
  auto room = stock_ ? stock_->take() : std::nullopt;
  if (!room) return {};
  // Its container is ending.
  if (room->parked && !room->parked->waits()) {
    leave_room(std::move(*room));
    return {};
  }
  std::string id = room->id;
  taken_.emplace(id, std::move(*room));
  return id;
}

void Template::give_back(const std::string& id) {
  if (auto room = taken_.extract(id)) leave_room(std::move(room.mapped()));
}

ProcessOptions Template::instantiate(const Parts& parts) {
  ProcessOptions made(blueprint_);
  const PlanPattern* plan = &plan_;
  if (auto room = taken_.extract(std::string(parts.id))) {
    made.room = std::move(room.mapped());
    made.room->cgroup = {};  // the process's own from now on, with what is to be done for it
    made.prepare.clear();
    made.awaits_steps = false;
    made.new_network = false;
    made.namespaces = room_->namespaces;
    if (made.room->parked) made.inherited_paths.clear();
    plan = &room_->plan;
  }
  made.plan = plan->text.fill(parts.id);
  made.plan.insert(plan->insert_at, parts.inserted);
  made.plan.append(parts.appended);
  plan_header header;
  memcpy(&header, made.plan.data(), sizeof header);
  header.size = static_cast<uint32_t>(made.plan.size());
  header.count += parts.records;
  if (made.room && made.room->parked) header.progress = PLAN_UNTOUCHED;
  memcpy(made.plan.data(), &header, sizeof header);

  auto put = [&](const std::string& text) { return put_id(text, placeholder_, parts.id); };
  each_path(&made.cgroup, put);
  for (Step& step : made.prepare) step.path = put(step.path), step.text = put(step.text);
  for (auto* texts : {&made.inherited_paths, &made.collect})
    for (std::string& text : *texts) text = put(text);
  made.cpu_file = put(made.cpu_file);
  made.oom_control = put(made.oom_control);
  return made;
}

}  // namespace caisson
