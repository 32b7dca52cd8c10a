#include "binding/passage.h"

#include <fcntl.h>

#include "binding/convert.h"
#include "binding/mailbox.h"
#include "core/network/passage.h"

namespace caisson {

namespace {

using Handle = std::shared_ptr<Passage>;

Passage& passage_of(const Napi::Value& value) { return **value.As<Napi::External<Handle>>().Data(); }

Fd copy_of(const Napi::Value& value) { return Fd(fcntl(static_cast<int>(number(value)), F_DUPFD_CLOEXEC, 0)); }

// (inside, outside, gone(), buffer): of connected sockets, which stay the caller's. Nothing where there are no descriptors for it.
// Does not keep the event loop alive.
Napi::Value pass_on(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Fd inside = copy_of(info[0]), outside = copy_of(info[1]);
  const auto buffer = static_cast<size_t>(number(info[3]));
  // Also where somebody else passes on.
  if (buffer > 0)
    for (const Fd* fd : {&inside, &outside}) bound_buffers(fd->get(), buffer);
  if (!inside || !outside || !Passage::room()) return env.Undefined();
  Handle passage = Passage::make(std::move(inside), std::move(outside), buffer);
  if (!passage) return env.Undefined();
  auto mailbox = Mailbox::of(env);
  auto* gone = new Napi::FunctionReference(Napi::Persistent(info[2].As<Napi::Function>()));
  mailbox->at_end(passage, [weak = std::weak_ptr(passage)] {
    Supervisor::traffic().post([weak] {
      if (auto passage = weak.lock()) passage->close();
    });
  });
  Supervisor::traffic().post([passage, mailbox, gone] {
    passage->start([mailbox, gone] {
      mailbox->post([gone](Napi::Env) {
        gone->Value().Call({});
        delete gone;
      });
    });
  });
  return Napi::External<Handle>::New(env, new Handle(passage), [](Napi::Env, Handle* handle) { delete handle; });
}

// (passage): bytes from the inside, and to it.
Napi::Value passed(const Napi::CallbackInfo& info) {
  auto counts = Napi::Array::New(info.Env(), 2);
  const Passage& passage = passage_of(info[0]);
  counts[0u] = static_cast<double>(passage.sent());
  counts[1u] = static_cast<double>(passage.received());
  return counts;
}

template <void (Passage::*action)()>
void later(const Napi::CallbackInfo& info) {
  Supervisor::traffic().post([passage = passage_of(info[0]).shared_from_this()] { ((*passage).*action)(); });
}

}  // namespace

void export_passages(Napi::Object network) {
  Napi::Env env = network.Env();
  network.Set("passOn", Napi::Function::New(env, pass_on, "passOn"));
  network.Set("passed", Napi::Function::New(env, passed, "passed"));
  network.Set("drain", Napi::Function::New(env, later<&Passage::drain>, "drain"));
  network.Set("breakOff", Napi::Function::New(env, later<&Passage::close>, "breakOff"));
}

}  // namespace caisson
