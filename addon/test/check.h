// For the test programs of this directory: what is not as it should be is printed, and makes the program fail.
#pragma once

#include <atomic>
#include <cstdio>

namespace check {

inline std::atomic<int> failures = 0;

inline void that(bool good, const char* what, const char* file, int line) {
  if (good) return;
  failures++;
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
}

inline int result() {
  if (failures > 0) fprintf(stderr, "%d checks failed\n", failures.load());
  return failures > 0 ? 1 : 0;
}

}  // namespace check

#define CHECK(condition) check::that(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
