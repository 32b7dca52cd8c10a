// Long work that JavaScript starts, waits for by a promise, and may cancel.
#pragma once

#include <napi.h>

#include <memory>
#include <system_error>

#include "binding/layer_options.h"
#include "binding/mailbox.h"
#include "core/layer/task.h"

namespace caisson {

// What runs for one environment, and has to stop when it ends.
class Running {
 public:
  virtual ~Running() = default;
  virtual void cancel() = 0;
  // The environment ends: memory of JavaScript is not touched any more afterwards.
  virtual void abandon() { cancel(); }
};

// A promise, and what it waits for. Made and ended on the JavaScript thread.
class Pending {
 public:
  explicit Pending(Napi::Env env) : mailbox_(Mailbox::of(env)), env_(env), deferred_(env) {
    mailbox_->hold();
    napi_add_env_cleanup_hook(env_, stop, this);
  }
  Pending(const Pending&) = delete;

  Napi::Promise promise() { return deferred_.Promise(); }
  const std::shared_ptr<Mailbox>& mailbox() { return mailbox_; }
  void running(std::shared_ptr<Running> running) { running_ = std::move(running); }

  void resolve(Napi::Value value) {
    deferred_.Resolve(value);
    end();
  }
  void reject(const Fault& fault) {
    deferred_.Reject(to_object(env_, fault));
    end();
  }

 private:
  static void stop(void* data) {
    if (auto running = static_cast<Pending*>(data)->running_) running->abandon();
  }
  void end() {
    napi_remove_env_cleanup_hook(env_, stop, this);
    mailbox_->release();
    delete this;
  }

  std::shared_ptr<Mailbox> mailbox_;
  Napi::Env env_;
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Running> running_;
};

// What JavaScript holds.
inline Napi::Object handle_and_promise(Napi::Env env, std::shared_ptr<Running> running, Napi::Promise promise) {
  auto result = Napi::Object::New(env);
  auto* held = new std::shared_ptr<Running>(std::move(running));
  result.Set("handle", Napi::External<std::shared_ptr<Running>>::New(
                           env, held, [](Napi::Env, std::shared_ptr<Running>* data) { delete data; }));
  result.Set("done", promise);
  return result;
}

inline Running& running(const Napi::Value& value) { return **value.As<Napi::External<std::shared_ptr<Running>>>().Data(); }

inline const Fault NO_THREADS{Fault::Kind::System, "threads", {}, "pthread_create", EAGAIN};

class RunningTask : public Running {
 public:
  std::shared_ptr<Task> task;
  void cancel() override {
    if (task) task->cancel();
  }
};

// Runs `work`, which fills a T, on a thread of its own; `present` makes a value of that.
template <typename T>
Napi::Value task(Napi::Env env, std::function<void(T&, const std::atomic<bool>&)> work,
                 std::function<Napi::Value(Napi::Env, const T&)> present, std::function<void()> stop = nullptr) {
  auto* pending = new Pending(env);
  auto promise = pending->promise();
  auto running = std::make_shared<RunningTask>();
  auto result = std::make_shared<T>();
  try {
    running->task = Task::start(
        [work = std::move(work), result](const std::atomic<bool>& cancelled) { work(*result, cancelled); },
        [pending, mailbox = pending->mailbox(), result, present = std::move(present)](std::optional<Fault> fault) {
          mailbox->post([pending, result, present, fault = std::move(fault)](Napi::Env env) {
            if (fault)
              pending->reject(*fault);
            else
              pending->resolve(present(env, *result));
          });
        },
        std::move(stop));
    pending->running(running);
  } catch (const std::system_error&) {
    pending->reject(NO_THREADS);
  }
  return handle_and_promise(env, running, promise);
}

}  // namespace caisson
