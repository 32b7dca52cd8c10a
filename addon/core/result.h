// How the core reports: a value, or a failure record that TypeScript turns into an Error.
#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace caisson {

// What failed: the step in the life of a container, the system call, its errno and the object it was about.
struct Failure {
  std::string stage;
  std::string syscall;
  int error = 0;
  std::string path;
  // The record of the plan, or -1 when the failure was outside the init program.
  int record = -1;
};

struct Nothing {};

template <typename T = Nothing>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}
  Result(Failure failure) : content_(std::move(failure)) {}

  explicit operator bool() const { return content_.index() == 0; }
  T& operator*() { return std::get<0>(content_); }
  T* operator->() { return &std::get<0>(content_); }
  Failure& failure() { return std::get<1>(content_); }

 private:
  std::variant<T, Failure> content_;
};

inline Failure failed(std::string stage, std::string syscall, std::string path = {}, int error = errno) {
  return {std::move(stage), std::move(syscall), error, std::move(path), -1};
}

}  // namespace caisson
