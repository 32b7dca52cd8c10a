// A promise for work that blocks.
#pragma once

#include <napi.h>

#include "binding/convert.h"
#include "binding/mailbox.h"
#include "core/result.h"
#include "core/threads.h"

namespace caisson {

inline Napi::Value to_value(Napi::Env env, Nothing&) { return env.Undefined(); }
inline Napi::Value to_value(Napi::Env env, int& number) { return Napi::Number::New(env, number); }
inline Napi::Value to_value(Napi::Env env, Fd& fd) { return Napi::Number::New(env, fd.release()); }

// Runs `work` on one of `threads`; the promise resolves with its value or rejects with the failure record.
template <typename Work>
Napi::Value promise(Napi::Env env, Threads& threads, Work work) {
  auto mailbox = Mailbox::of(env);
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto result = deferred->Promise();
  mailbox->hold();
  threads.post([mailbox, deferred, work = std::move(work)]() mutable {
    auto done = std::make_shared<decltype(work())>(work());
    mailbox->post([mailbox, deferred = std::move(deferred), done](Napi::Env env) {
      mailbox->release();
      if (*done)
        deferred->Resolve(to_value(env, **done));
      else
        deferred->Reject(to_object(env, done->failure()));
    });
  });
  return result;
}

}  // namespace caisson
