// A blueprint for many processes that differ only in an id and in a part of their plan.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/process.h"

namespace caisson {

class Template {
 public:
  // `placeholder` stands for the id wherever it is in the blueprint; in the plan its first SHORT characters, too, where
  // they stand alone. `insert_at`: an offset in the plan, between two records.
  Template(Blueprint blueprint, std::string placeholder, size_t insert_at);

  static constexpr size_t SHORT = 12;

  struct Parts {
    std::string_view id;        // as long as the placeholder
    std::string_view inserted;  // records for the place that was named
    std::string_view appended;  // records for the end
    uint32_t records;           // in both together
  };
  Blueprint instantiate(const Parts& parts) const;

 private:
  struct Place {
    size_t at, size;
  };

  std::string put(const std::string& text, std::string_view id) const;

  const Blueprint blueprint_;
  const std::string placeholder_;
  const size_t insert_at_;
  std::vector<Place> places_;  // in the plan
};

}  // namespace caisson
