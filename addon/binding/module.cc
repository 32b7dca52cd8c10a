// The export table of the addon.
#include <fcntl.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "binding/agent.h"
#include "binding/blob.h"
#include "binding/convert.h"
#include "binding/inventory.h"
#include "binding/layer.h"
#include "binding/namespace.h"
#include "binding/network.h"
#include "binding/process.h"
#include "binding/promise.h"
#include "core/lock.h"
#include "core/quota.h"
#include "core/shortage.h"
#include "core/steps.h"
#include "core/watchdog.h"
#include "init/plan.h"

namespace caisson {

namespace {

Napi::Value do_steps(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(), [list = steps(info[0])] { return perform(list); });
}

Napi::Value remove_cgroup(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::slow(), [paths = cgroup_paths(info[0])]() -> Result<> {
    cgroup_kill(paths);
    for (int attempt = 0; attempt < 500; attempt++) {
      if (cgroup_remove(paths)) return Nothing{};
      usleep(attempt < 20 ? 1000 : 10000);
    }
    return failed("cgroup", "rmdir", paths.unified, EBUSY);
  });
}

Napi::Value kill_cgroup(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(), [paths = cgroup_paths(info[0])]() -> Result<> {
    cgroup_kill(paths);
    return Nothing{};
  });
}

// (from, to, back)
Napi::Value move_members(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::slow(), [from = text(info[0]), to = text(info[1]), back = text(info[2])] {
    return cgroup_move(from, to, back);
  });
}

Napi::Value restrict(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(),
                 [path = text(info[0]), rules = device_rules(info[1])] { return restrict_devices(path, rules); });
}

Napi::Value watch(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::quick(), [directories = texts(info[0])] { return watchdog_start(directories); });
}

// (path, exclusive, wait): the descriptor that holds the lock, -1 when another does.
Napi::Value lock(const Napi::CallbackInfo& info) {
  bool exclusive = info[1].ToBoolean(), wait = info[2].ToBoolean();
  return promise(info.Env(), Threads::slow(),
                 [path = text(info[0]), exclusive, wait] { return lock_file(path, exclusive, wait); });
}

// (directory, project, bytes, files)
Napi::Value bound(const Napi::CallbackInfo& info) {
  auto project = static_cast<uint32_t>(number(info[1]));
  const QuotaBounds bounds = {static_cast<uint64_t>(number(info[2])), static_cast<uint64_t>(number(info[3]))};
  return promise(info.Env(), Threads::slow(),
                 [directory = text(info[0]), project, bounds] { return bound_directory(directory, project, bounds); });
}

Napi::Value forget(const Napi::CallbackInfo& info) {
  auto project = static_cast<uint32_t>(number(info[1]));
  return promise(info.Env(), Threads::slow(),
                 [directory = text(info[0]), project] { return forget_project(directory, project); });
}

Napi::Value make_pipe(const Napi::CallbackInfo& info) {
  int ends[2];
  if (with_descriptors([&] { return pipe2(ends, O_CLOEXEC); }) < 0) return to_object(info.Env(), failed("process", "pipe2"));
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
  auto probes = Napi::Object::New(env);
#define SET_PROBE(name) probes.Set(#name, Napi::Number::New(env, PLAN_PROBE_##name));
  PLAN_PROBES(SET_PROBE)
#undef SET_PROBE
  auto object = Napi::Object::New(env);
  object.Set("ops", ops);
  object.Set("probes", probes);
  object.Set("magic", Napi::Number::New(env, PLAN_MAGIC));
  object.Set("version", Napi::Number::New(env, PLAN_VERSION));
  object.Set("headerSize", Napi::Number::New(env, sizeof(plan_header)));
  object.Set("recordSize", Napi::Number::New(env, sizeof(plan_record)));
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("plan", plan(env));
  export_process(exports);
  export_agent(exports);
  export_blob(exports);
  export_inventory(exports);
  export_layer(exports);
  export_namespace(exports);
  export_network(exports);
  exports.Set("perform", Napi::Function::New(env, do_steps, "perform"));
  exports.Set("removeCgroup", Napi::Function::New(env, remove_cgroup, "removeCgroup"));
  exports.Set("moveMembers", Napi::Function::New(env, move_members, "moveMembers"));
  exports.Set("killCgroup", Napi::Function::New(env, kill_cgroup, "killCgroup"));
  exports.Set("restrictDevices", Napi::Function::New(env, restrict, "restrictDevices"));
  exports.Set("watch", Napi::Function::New(env, watch, "watch"));
  exports.Set("lock", Napi::Function::New(env, lock, "lock"));
  exports.Set("boundDirectory", Napi::Function::New(env, bound, "boundDirectory"));
  exports.Set("forgetProject", Napi::Function::New(env, forget, "forgetProject"));
  exports.Set("pipe", Napi::Function::New(env, make_pipe, "pipe"));
  exports.Set("closeFd", Napi::Function::New(env, close_fd, "closeFd"));
  exports.Set("resize", Napi::Function::New(env, resize, "resize"));
  return exports;
}

}  // namespace

}  // namespace caisson

static Napi::Object initialise(Napi::Env env, Napi::Object exports) { return caisson::init(env, exports); }

NODE_API_MODULE(caisson, initialise)
