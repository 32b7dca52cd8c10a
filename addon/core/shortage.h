// When the process has no descriptor left: what is only kept for later is given back, and whatever failed is tried again.
#pragma once

#include <cerrno>
#include <type_traits>

#include "core/result.h"

namespace caisson {

// Whether `error` says so, and something could be given back. May close namespaces, which takes milliseconds.
bool gave_descriptors_back(int error);

// `call` gives a Result, or what a system call does. It is made once more at most, so a failed one must leave nothing.
template <typename Call>
auto with_descriptors(const Call& call) {
  auto made = call();
  if constexpr (std::is_integral_v<decltype(made)>)
    return made < 0 && gave_descriptors_back(errno) ? call() : made;
  else
    return !made && gave_descriptors_back(made.failure().error) ? call() : std::move(made);
}

}  // namespace caisson
