// Text that is the same for many, but for an id.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caisson {

// `text` with `id` wherever `placeholder` stands.
std::string put_id(std::string text, std::string_view placeholder, std::string_view id);

class Pattern {
 public:
  // `placeholder` stands for the id wherever it is in the text, and so do its first SHORT characters where they stand
  // alone.
  Pattern() = default;
  Pattern(std::string text, const std::string& placeholder);

  static constexpr size_t SHORT = 12;

  // `id`: as long as the placeholder.
  std::string fill(std::string_view id) const;

 private:
  struct Place {
    size_t at, size;
  };

  std::string text_;
  std::vector<Place> places_;
};

}  // namespace caisson
