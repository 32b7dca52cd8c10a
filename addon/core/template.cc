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
  if (room_) stock_ = std::make_unique<RoomStock>(room_->recipe);
}

std::string Template::take_room() {
  auto room = stock_ ? stock_->take() : std::nullopt;
  if (!room) return {};
  std::string id = room->id;
  taken_.emplace(id, std::move(*room));
  return id;
}

std::string Template::put(const std::string& text, std::string_view id) const {
  std::string result = text;
  for (size_t at = result.find(placeholder_); at != std::string::npos; at = result.find(placeholder_, at + id.size()))
    result.replace(at, placeholder_.size(), id);
  return result;
}

ProcessOptions Template::instantiate(const Parts& parts) {
  ProcessOptions made(blueprint_);
  const PlanPattern* plan = &plan_;
  if (auto room = taken_.extract(std::string(parts.id))) {
    made.room = std::move(room.mapped());
    made.new_network = false;
    made.namespaces = room_->namespaces;
    plan = &room_->plan;
  }
  made.plan = plan->text.fill(parts.id);
  made.plan.insert(plan->insert_at, parts.inserted);
  made.plan.append(parts.appended);
  plan_header header;
  memcpy(&header, made.plan.data(), sizeof header);
  header.size = static_cast<uint32_t>(made.plan.size());
  header.count += parts.records;
  memcpy(made.plan.data(), &header, sizeof header);

  auto put_all = [&](std::vector<std::string>& texts) {
    for (std::string& text : texts) text = put(text, parts.id);
  };
  made.cgroup.unified = put(made.cgroup.unified, parts.id);
  made.cgroup.entered = put(made.cgroup.entered, parts.id);
  made.cgroup.freezer = put(made.cgroup.freezer, parts.id);
  put_all(made.cgroup.legacy);
  for (Step& step : made.prepare) {
    step.path = put(step.path, parts.id);
    step.text = put(step.text, parts.id);
  }
  put_all(made.inherited_paths);
  made.cpu_file = put(made.cpu_file, parts.id);
  made.oom_control = put(made.oom_control, parts.id);
  put_all(made.collect);
  return made;
}

}  // namespace caisson
