#include "core/pattern.h"

#include <utility>

namespace caisson {

std::string put_id(std::string text, std::string_view placeholder, std::string_view id) {
  for (size_t at = text.find(placeholder); at != std::string::npos; at = text.find(placeholder, at + id.size()))
    text.replace(at, placeholder.size(), id);
  return text;
}

Pattern::Pattern(std::string text, const std::string& placeholder) : text_(std::move(text)) {
  const std::string brief = placeholder.substr(0, SHORT);
  for (size_t at = text_.find(brief); at != std::string::npos;) {
    bool whole = text_.compare(at, placeholder.size(), placeholder) == 0;
    places_.push_back({at, whole ? placeholder.size() : brief.size()});
    at = text_.find(brief, at + places_.back().size);
  }
}

std::string Pattern::fill(std::string_view id) const {
  std::string filled = text_;
  for (const Place& place : places_) filled.replace(place.at, place.size, id.substr(0, place.size));
  return filled;
}

}  // namespace caisson
