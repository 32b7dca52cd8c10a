// Failures of long straight-line work on foreign content: thrown where they are found, caught where the thread starts.
//
// Decoders and readers pull their input and push their output; an exception keeps them free of a check at every byte.
// None passes a thread's start, and none reaches JavaScript as an exception.
#pragma once

#include <cerrno>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace caisson {

struct Fault {
  enum class Kind {
    Malformed,  // the bytes are not what they claim to be
    Refused,    // well formed, but an attack or nothing that we do
    Limit,      // larger than the caller allows
    Digest,     // not the content that was promised
    Cancelled,
    System,  // a system call failed
  };

  Kind kind;
  std::string what;     // one sentence without a full stop; for System what was being done
  std::string entry{};  // the member of the archive, as its bytes are
  std::string syscall{};
  int error = 0;
};

[[noreturn]] inline void malformed(std::string what) { throw Fault{Fault::Kind::Malformed, std::move(what)}; }
[[noreturn]] inline void refused(std::string what) { throw Fault{Fault::Kind::Refused, std::move(what)}; }
[[noreturn]] inline void over_limit(std::string what) { throw Fault{Fault::Kind::Limit, std::move(what)}; }
[[noreturn]] inline void system_fault(std::string what, std::string syscall, int error = errno) {
  throw Fault{Fault::Kind::System, std::move(what), {}, std::move(syscall), error};
}

// Runs what a thread is there for: nothing that it throws leaves. Out of memory and out of threads are faults as well.
template <typename Work>
std::optional<Fault> guarded(Work work) {
  try {
    work();
    return std::nullopt;
  } catch (const Fault& fault) {
    return fault;
  } catch (const std::bad_alloc&) {
    return Fault{Fault::Kind::System, "memory", {}, "malloc", ENOMEM};
  } catch (const std::system_error& error) {
    return Fault{Fault::Kind::System, "threads", {}, "pthread_create", error.code().value()};
  }
}

}  // namespace caisson
