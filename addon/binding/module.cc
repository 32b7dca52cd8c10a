// The export table of the addon.
#include <fcntl.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "binding/convert.h"
#include "binding/layer.h"
#include "binding/mailbox.h"
#include "binding/process.h"
#include "core/lock.h"
#include "core/steps.h"
#include "core/threads.h"
#include "core/watchdog.h"
#include "init/plan.h"

namespace caisson {

namespace {

Napi::Value to_value(Napi::Env env, Nothing) { return env.Undefined(); }
Napi::Value to_value(Napi::Env env, int number) { return Napi::Number::New(env, number); }

// Runs `work` off the event loop; the promise resolves with its value or rejects with the failure record.
template <typename Work>
Napi::Value promise(Napi::Env env, Work work, Threads& threads = Threads::quick()) {
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

Napi::Value do_steps(const Napi::CallbackInfo& info) {
  return promise(info.Env(), [list = steps(info[0])] { return perform(list); });
}

Napi::Value remove_cgroup(const Napi::CallbackInfo& info) {
  return promise(info.Env(), [paths = cgroup_paths(info[0])]() -> Result<> {
    cgroup_kill(paths);
    for (int attempt = 0; attempt < 500; attempt++) {
      if (cgroup_remove(paths)) return Nothing{};
      usleep(attempt < 20 ? 1000 : 10000);
    }
    return failed("cgroup", "rmdir", paths.unified, EBUSY);
  });
}

Napi::Value watch(const Napi::CallbackInfo& info) {
  return promise(info.Env(), [directories = texts(info[0])] { return watchdog_start(directories); });
}

// (path, exclusive, wait): the descriptor that holds the lock, -1 when another does.
Napi::Value lock(const Napi::CallbackInfo& info) {
  return promise(
      info.Env(),
      [path = text(info[0]), exclusive = info[1].ToBoolean().Value(), wait = info[2].ToBoolean().Value()] {
        return lock_file(path, exclusive, wait);
      },
      Threads::slow());
}

Napi::Value make_pipe(const Napi::CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return to_object(info.Env(), failed("process", "pipe2"));
  auto array = Napi::Array::New(info.Env(), 2);
  for (uint32_t i = 0; i < 2; i++) array[i] = Napi::Number::New(info.Env(), ends[i]);
  return array;
}

void close_fd(const Napi::CallbackInfo& info) { close(static_cast<int>(number(info[0]))); }

void resize(const Napi::CallbackInfo& info) {
  winsize size = {};
  size.ws_col = static_cast<uint16_t>(number(info[1]));
  size.ws_row = static_cast<uint16_t>(number(info[2]));
  ioctl(static_cast<int>(number(info[0])), TIOCSWINSZ, &size);
}

Napi::Object plan(Napi::Env env) {
  auto ops = Napi::Object::New(env);
#define SET_OP(name) ops.Set(#name, Napi::Number::New(env, PLAN_##name));
  PLAN_OPS(SET_OP)
#undef SET_OP
  auto object = Napi::Object::New(env);
  object.Set("ops", ops);
  object.Set("magic", Napi::Number::New(env, PLAN_MAGIC));
  object.Set("version", Napi::Number::New(env, PLAN_VERSION));
  object.Set("headerSize", Napi::Number::New(env, sizeof(plan_header)));
  object.Set("recordSize", Napi::Number::New(env, sizeof(plan_record)));
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("plan", plan(env));
  export_process(exports);
  export_layer(exports);
  exports.Set("perform", Napi::Function::New(env, do_steps, "perform"));
  exports.Set("removeCgroup", Napi::Function::New(env, remove_cgroup, "removeCgroup"));
  exports.Set("watch", Napi::Function::New(env, watch, "watch"));
  exports.Set("lock", Napi::Function::New(env, lock, "lock"));
  exports.Set("pipe", Napi::Function::New(env, make_pipe, "pipe"));
  exports.Set("closeFd", Napi::Function::New(env, close_fd, "closeFd"));
  exports.Set("resize", Napi::Function::New(env, resize, "resize"));
  return exports;
}

}  // namespace

}  // namespace caisson

static Napi::Object initialise(Napi::Env env, Napi::Object exports) { return caisson::init(env, exports); }

NODE_API_MODULE(caisson, initialise)
