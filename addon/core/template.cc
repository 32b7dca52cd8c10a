#include "core/template.h"

#include <cstring>
#include <utility>

#include "init/plan.h"

namespace caisson {

Template::Template(Blueprint blueprint, std::string placeholder, size_t insert_at)
    : blueprint_(std::move(blueprint)), placeholder_(std::move(placeholder)), insert_at_(insert_at) {
  const std::string& plan = blueprint_.plan;
  const std::string brief = placeholder_.substr(0, SHORT);
  for (size_t at = plan.find(brief); at != std::string::npos;) {
    bool whole = plan.compare(at, placeholder_.size(), placeholder_) == 0;
    places_.push_back({at, whole ? placeholder_.size() : brief.size()});
    at = plan.find(brief, at + places_.back().size);
  }
}

std::string Template::put(const std::string& text, std::string_view id) const {
  std::string result = text;
  for (size_t at = result.find(placeholder_); at != std::string::npos; at = result.find(placeholder_, at + id.size()))
    result.replace(at, placeholder_.size(), id);
  return result;
}

Blueprint Template::instantiate(const Parts& parts) const {
  Blueprint made = blueprint_;
  auto put_all = [&](std::vector<std::string>& texts) {
    for (std::string& text : texts) text = put(text, parts.id);
  };
  for (const Place& place : places_) made.plan.replace(place.at, place.size, parts.id.substr(0, place.size));
  made.plan.insert(insert_at_, parts.inserted);
  made.plan.append(parts.appended);
  plan_header header;
  memcpy(&header, made.plan.data(), sizeof header);
  header.size = static_cast<uint32_t>(made.plan.size());
  header.count += parts.records;
  memcpy(made.plan.data(), &header, sizeof header);

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
