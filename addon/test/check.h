// For the test programs of this directory: what is not as it should be is printed, and makes the program fail.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

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

// Of the program's arguments the second says how often it is done in each thread, the third how many threads there are.
template <typename Once>
void in_threads(char** arguments, Once once) {
  const int rounds = atoi(arguments[2]), count = atoi(arguments[3]);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < count; thread++)
    threads.emplace_back([=] {
      for (int round = 0; round < rounds; round++) once(thread, round);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace check

#define CHECK(condition) check::that(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
