#include "binding/process.h"

#include "binding/convert.h"
#include "binding/mailbox.h"
#include "core/process.h"
#include "core/supervisor.h"
#include "core/template.h"

namespace caisson {

namespace {

struct Handle {
  std::shared_ptr<Process> process;
  std::shared_ptr<bool> holds;
};

// Passes what happens to the JavaScript function, as (event, value).
class Reporter : public Process::Listener {
 public:
  Reporter(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<bool> holds, Napi::Function callback)
      : mailbox_(std::move(mailbox)),
        holds_(std::move(holds)),
        callback_(new Napi::FunctionReference(Napi::Persistent(callback))) {
    if (*holds_) mailbox_->hold();
  }

  void started(pid_t pid) override { tell("started", pid); }
  void synchronising(pid_t pid) override { tell("synchronising", pid); }
  void ready() override { tell("ready", 0); }

  void console(Fd master) override { tell("console", master.release()); }

  void ended(ProcessReport report) override {
    auto shared = std::make_shared<ProcessReport>(std::move(report));
    mailbox_->post([callback = callback_, mailbox = mailbox_, holds = holds_, shared](Napi::Env env) {
      if (*holds) mailbox->release();
      *holds = false;
      call(env, *callback, Napi::String::New(env, "ended"), to_object(env, *shared));
      delete callback;
    });
  }

 private:
  void tell(const char* event, int value) {
    mailbox_->post([callback = callback_, event, value](Napi::Env env) {
      call(env, *callback, Napi::String::New(env, event), Napi::Number::New(env, value));
    });
  }

  // A throw of the listener must not unwind through the core.
  static void call(Napi::Env env, Napi::FunctionReference& callback, Napi::Value event, Napi::Value value) {
    try {
      callback.Value().Call({event, value});
    } catch (const Napi::Error& error) {
      napi_fatal_exception(env, error.Value());
    }
  }

  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<bool> holds_;  // whether the event loop is kept alive for it; JavaScript thread only
  Napi::FunctionReference* callback_;
};

Process& process(const Napi::CallbackInfo& info) { return *process_of(info[0]); }

PlanPattern plan_pattern(const Napi::Object& request, const std::string& placeholder) {
  return {Pattern(bytes_or_empty(request.Get("plan")), placeholder), static_cast<size_t>(number(request.Get("insertAt")))};
}

std::optional<RoomPattern> room_pattern(const Napi::Value& value, const std::string& placeholder) {
  if (!value.IsObject()) return std::nullopt;
  auto room = value.As<Napi::Object>();
  RoomRecipe recipe;
  recipe.namespaces = static_cast<uint64_t>(number(room.Get("own")));
  recipe.plan = Pattern(bytes_or_empty(room.Get("furnishing")), placeholder);
  auto kept = room.Get("kept").As<Napi::Array>();
  for (uint32_t i = 0; i < kept.Length(); i++) recipe.kept.push_back(static_cast<size_t>(number(kept[i])));
  Napi::Value ahead = room.Get("ahead");
  if (ahead.IsObject()) {
    auto waiting = ahead.As<Napi::Object>();
    recipe.parked = ParkedRecipe{Pattern(bytes_or_empty(waiting.Get("plan")), placeholder),
                                 std::make_shared<Fd>(static_cast<int>(number(waiting.Get("inherited")))), {}};
  }
  return RoomPattern{plan_pattern(room, placeholder), static_cast<uint64_t>(number(room.Get("namespaces"))),
                     std::move(recipe)};
}

// (request): what many processes have in common.
Napi::Value make_template(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  std::string placeholder = text(request.Get("placeholder"));
  Blueprint common = blueprint(request);
  common.plan.clear();
  auto* made = new Template(std::move(common), plan_pattern(request, placeholder),
                            room_pattern(request.Get("room"), placeholder), placeholder);
  return Napi::External<Template>::New(info.Env(), made, [](Napi::Env, Template* data) { delete data; });
}

// (template): the id of a room that is ready for the next start with it, or ''.
Napi::Value take_room(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), info[0].As<Napi::External<Template>>().Data()->take_room());
}

// (template, id): of a room that was taken, and that nothing is started in.
void give_room_back(const Napi::CallbackInfo& info) {
  info[0].As<Napi::External<Template>>().Data()->give_back(text(info[1]));
}

// (template): nothing is made ahead any more.
void close_template(const Napi::CallbackInfo& info) { info[0].As<Napi::External<Template>>().Data()->close(); }

ProcessOptions from_template(const Napi::Object& request, Template& shared) {
  std::string id = text(request.Get("id"));
  std::string inserted = bytes_or_empty(request.Get("inserted")), appended = bytes_or_empty(request.Get("appended"));
  auto records = static_cast<uint32_t>(number(request.Get("records")));
  ProcessOptions options = shared.instantiate({id, inserted, appended, records});
  options.stdio = stdio_of(request);
  options.input = bytes_or_empty(request.Get("input"));
  options.inherited = descriptors(request.Get("inherited"));
  options.limits = run_limits(request);
  return options;
}

Napi::Value start(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  Napi::Value shared = request.Get("template");
  auto options = shared.IsExternal() ? from_template(request, *shared.As<Napi::External<Template>>().Data())
                                     : process_options(request);
  auto holds = std::make_shared<bool>(!truth(request, "background"));
  auto reporter = std::make_unique<Reporter>(Mailbox::of(info.Env()), holds, info[1].As<Napi::Function>());
  auto started = Process::start(std::move(options), std::move(reporter));
  // A worker_thread that ends takes its containers with it, as a process does.
  std::weak_ptr<Process> weak = started;
  Mailbox::of(info.Env())->at_end(weak, [weak] {
    if (auto process = weak.lock()) process->kill(Cause::Aborted);
  });
  auto* handle = new Handle{std::move(started), holds};
  return Napi::External<Handle>::New(info.Env(), handle, [](Napi::Env, Handle* data) { delete data; });
}

Cause cause(const std::string& name) {
  if (name == "timeout") return Cause::Timeout;
  if (name == "output") return Cause::Output;
  if (name == "aborted") return Cause::Aborted;
  if (name == "cpu") return Cause::Cpu;
  return Cause::Stopped;
}

void kill(const Napi::CallbackInfo& info) { process(info).kill(cause(text(info[1]))); }

void signal(const Napi::CallbackInfo& info) { process(info).signal(static_cast<int>(number(info[1]))); }

void ask_started(const Napi::CallbackInfo& info) { process(info).ask_started(); }

Napi::Value pidfd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), process(info).duplicate_pidfd());
}

// (process, { plan, stdio, input, limits }): the rest, for a parked process. From now on the event loop waits for it.
void resume(const Napi::CallbackInfo& info) {
  auto* handle = info[0].As<Napi::External<Handle>>().Data();
  auto request = info[1].As<Napi::Object>();
  if (!*handle->holds) Mailbox::of(info.Env())->hold();
  *handle->holds = true;
  handle->process->resume(bytes_or_empty(request.Get("plan")), stdio_of(request), bytes_or_empty(request.Get("input")),
                          run_limits(request));
}

// (callback): when nothing is left of processes whose end was told.
void when_gone(const Napi::CallbackInfo& info) {
  auto mailbox = Mailbox::of(info.Env());
  auto* callback = new Napi::FunctionReference(Napi::Persistent(info[0].As<Napi::Function>()));
  Process::when_gone([mailbox, callback] {
    mailbox->post([callback](Napi::Env) {
      callback->Value().Call({});
      delete callback;
    });
  });
}

void go(const Napi::CallbackInfo& info) { process(info).go(); }

// (process, directory): it is removed with the process's own cgroups.
void add_cgroup(const Napi::CallbackInfo& info) { process(info).add_cgroup(text(info[1])); }

// (process, file, callback): it is about to have a limit of memory; called when that is watched.
void watch_oom(const Napi::CallbackInfo& info) {
  auto mailbox = Mailbox::of(info.Env());
  auto* callback = new Napi::FunctionReference(Napi::Persistent(info[2].As<Napi::Function>()));
  process(info).limit_memory(text(info[1]));
  // What was posted before is done before.
  Supervisor::shared().post([mailbox, callback] {
    mailbox->post([callback](Napi::Env) {
      callback->Value().Call({});
      delete callback;
    });
  });
}

// (handle, 0 | 1, callback(fd | -1, bytes)): takes a captured stream over.
void detach(const Napi::CallbackInfo& info) {
  auto mailbox = Mailbox::of(info.Env());
  auto* callback = new Napi::FunctionReference(Napi::Persistent(info[2].As<Napi::Function>()));
  process(info).detach(static_cast<int>(number(info[1])), [mailbox, callback](Fd fd, std::string bytes) {
    mailbox->post([callback, fd = fd.release(), bytes = std::move(bytes)](Napi::Env env) mutable {
      callback->Value().Call({Napi::Number::New(env, fd), to_buffer(env, std::move(bytes))});
      delete callback;
    });
  });
}

}  // namespace

std::shared_ptr<Process> process_of(const Napi::Value& value) {
  return value.As<Napi::External<Handle>>().Data()->process;
}

void export_process(Napi::Object exports) {
  Napi::Env env = exports.Env();
  exports.Set("template", Napi::Function::New(env, make_template, "template"));
  exports.Set("takeRoom", Napi::Function::New(env, take_room, "takeRoom"));
  exports.Set("giveRoomBack", Napi::Function::New(env, give_room_back, "giveRoomBack"));
  exports.Set("closeTemplate", Napi::Function::New(env, close_template, "closeTemplate"));
  exports.Set("start", Napi::Function::New(env, start, "start"));
  exports.Set("kill", Napi::Function::New(env, kill, "kill"));
  exports.Set("signal", Napi::Function::New(env, signal, "signal"));
  exports.Set("askStarted", Napi::Function::New(env, ask_started, "askStarted"));
  exports.Set("pidfd", Napi::Function::New(env, pidfd, "pidfd"));
  exports.Set("resume", Napi::Function::New(env, resume, "resume"));
  exports.Set("whenGone", Napi::Function::New(env, when_gone, "whenGone"));
  exports.Set("go", Napi::Function::New(env, go, "go"));
  exports.Set("addCgroup", Napi::Function::New(env, add_cgroup, "addCgroup"));
  exports.Set("watchOom", Napi::Function::New(env, watch_oom, "watchOom"));
  exports.Set("detach", Napi::Function::New(env, detach, "detach"));
}

}  // namespace caisson
