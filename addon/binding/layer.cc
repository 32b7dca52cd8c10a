#include "binding/layer.h"

#include <fcntl.h>

#include <memory>
#include <system_error>

#include "binding/convert.h"
#include "binding/layer_options.h"
#include "binding/promise.h"
#include "binding/running.h"
#include "core/layer/lowers.h"
#include "core/layer/remove.h"
#include "core/layer/settle.h"

namespace caisson {

namespace {

// --- applying ------------------------------------------------------------------------------------------------------

class RunningJob : public Running {
 public:
  std::shared_ptr<Job> job;
  std::shared_ptr<ChunkSource> chunks;
  void cancel() override {
    if (job) job->cancel();
  }
  void abandon() override {
    if (job) job->abandon();
  }
};

class JobListener : public Job::Listener {
 public:
  JobListener(Pending* pending, const Napi::Value& progress) : pending_(pending), mailbox_(pending->mailbox()) {
    if (progress.IsFunction()) progress_ = new Napi::FunctionReference(Napi::Persistent(progress.As<Napi::Function>()));
  }

  void progress(uint64_t bytes, uint64_t entries) override {
    if (progress_ == nullptr) return;
    mailbox_->post([progress = progress_, bytes, entries](Napi::Env env) {
      try {
        progress->Value().Call({Napi::Number::New(env, static_cast<double>(bytes)),
                                Napi::Number::New(env, static_cast<double>(entries))});
      } catch (const Napi::Error& error) {
        napi_fatal_exception(env, error.Value());
      }
    });
  }
  void done(JobResult result) override {
    mailbox_->post([pending = pending_, progress = progress_, result = std::move(result)](Napi::Env env) {
      delete progress;
      pending->resolve(to_object(env, result));
    });
  }
  void failed(Fault fault) override {
    mailbox_->post([pending = pending_, progress = progress_, fault = std::move(fault)](Napi::Env) {
      delete progress;
      pending->reject(fault);
    });
  }

 private:
  Pending* pending_;
  std::shared_ptr<Mailbox> mailbox_;
  Napi::FunctionReference* progress_ = nullptr;
};

// (options, progress?): { handle, done }. Without options.source the bytes come through layerWrite().
Napi::Value apply(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto request = info[0].As<Napi::Object>();
  auto running = std::make_shared<RunningJob>();
  std::shared_ptr<Source> source;
  if (Napi::Value given = request.Get("source"); given.IsUndefined())
    source = running->chunks = std::make_shared<ChunkSource>();
  else
    source = std::make_shared<FileSource>(location(given));
  auto* pending = new Pending(env);
  auto promise = pending->promise();
  try {
    running->job = Job::start(job_options(request), location(request.Get("directory")), std::move(source),
                              std::make_unique<FileSystem>(), std::make_unique<JobListener>(pending, info[1]));
    pending->running(running);
  } catch (const std::system_error&) {
    pending->reject(NO_THREADS);
  }
  return handle_and_promise(env, running, promise);
}

// (handle, Uint8Array): a promise of whether it was read. Until then its memory must not change.
Napi::Value write(const Napi::CallbackInfo& info) {
  struct Held {
    Napi::Promise::Deferred deferred;
    Napi::Reference<Napi::Uint8Array> chunk;
  };
  Napi::Env env = info.Env();
  auto& job = static_cast<RunningJob&>(running(info[0]));
  auto chunk = info[1].As<Napi::Uint8Array>();
  auto* held = new Held{Napi::Promise::Deferred::New(env), Napi::Persistent(chunk)};
  auto promise = held->deferred.Promise();
  job.chunks->push(chunk.Data(), chunk.ByteLength(), [held, mailbox = Mailbox::of(env)](bool read) {
    mailbox->post([held, read](Napi::Env env) {
      held->deferred.Resolve(Napi::Boolean::New(env, read));
      delete held;
    });
  });
  return promise;
}

void end(const Napi::CallbackInfo& info) { static_cast<RunningJob&>(running(info[0])).chunks->end(); }

void cancel(const Napi::CallbackInfo& info) { running(info[0]).cancel(); }

// --- tasks ---------------------------------------------------------------------------------------------------------

Napi::Value nothing(Napi::Env env, const int&) { return env.Undefined(); }

std::vector<Fd> open_all(std::vector<Location>& locations) {
  std::vector<Fd> opened;
  for (Location& location : locations) opened.push_back(location.open("a layer below", O_PATH | O_DIRECTORY));
  return opened;
}

std::vector<int> numbers(const std::vector<Fd>& fds) {
  std::vector<int> result;
  for (const Fd& fd : fds) result.push_back(fd.get());
  return result;
}

// (options, fd): { handle, done }. The descriptor is duplicated, and the duplicate closed at the end.
Napi::Value pack(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  struct State {
    PackOptions options;
    Location directory;
    FileSink sink;
    State(const Napi::Object& request, const Napi::Value& fd)
        : options(pack_options(request)), directory(location(request.Get("directory"))), sink(location(fd).fd) {}
  };
  auto state = std::make_shared<State>(request, info[1]);
  return task<PackResult>(
      info.Env(),
      [state](PackResult& result, const std::atomic<bool>& cancelled) {
        // The reader of a pipe sees its end in any case.
        struct Close {
          FileSink& sink;
          ~Close() { sink.close(); }
        } close{state->sink};
        FileSystem files;
        Fd root = state->directory.open("the directory to pack", O_PATH | O_DIRECTORY);
        auto sink = [&](const uint8_t* data, size_t size) { state->sink.write(data, size); };
        result = Packer(files, root.get(), state->options, sink, cancelled).run();
      },
      [](Napi::Env env, const PackResult& result) -> Napi::Value { return to_object(env, result); },
      [state] { state->sink.stop(); });
}

// ({ upper, lowers, overlayXattrs, merged, own, uids, gids }): { handle, done }.
Napi::Value diff(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  auto upper = std::make_shared<Location>(location(request.Get("upper")));
  auto lowers = std::make_shared<std::vector<Location>>(locations(request.Get("lowers")));
  return task<std::vector<Change>>(
      info.Env(),
      [upper, lowers, options = diff_options(request)](std::vector<Change>& result,
                                                       const std::atomic<bool>& cancelled) {
        FileSystem files;
        Fd root = upper->open("the writable layer", O_PATH | O_DIRECTORY);
        std::vector<Fd> below = open_all(*lowers);
        result = find_changes(files, root.get(), numbers(below), options, cancelled);
      },
      [](Napi::Env env, const std::vector<Change>& result) -> Napi::Value { return to_array(env, result); });
}

// ({ directory, lowers, unsettled, overlayXattrs }): { handle, done }.
Napi::Value settle_layer(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  auto directory = std::make_shared<Location>(location(request.Get("directory")));
  auto lowers = std::make_shared<std::vector<Location>>(locations(request.Get("lowers")));
  return task<int>(
      info.Env(),
      [directory, lowers, items = unsettled(request.Get("unsettled")),
       xattrs = text_or(request, "overlayXattrs", "trusted")](int&, const std::atomic<bool>&) {
        FileSystem files;
        Fd root = directory->open("the layer", O_PATH | O_DIRECTORY);
        std::vector<Fd> below = open_all(*lowers);
        settle(files, root.get(), numbers(below), xattrs, items);
      },
      nothing);
}

// (path, overlayXattrs): a promise of 1 or 0.
Napi::Value opaque(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::slow(),
                 [path = text(info[0]), xattrs = text(info[1])] { return is_opaque_directory(path, xattrs); });
}

// (directory, name): { handle, done }. Removes a member of a directory with all below it.
Napi::Value remove(const Napi::CallbackInfo& info) {
  auto directory = std::make_shared<Location>(location(info[0]));
  return task<int>(
      info.Env(),
      [directory, name = bytes_of(info[1])](int&, const std::atomic<bool>&) {
        FileSystem files;
        Fd above = directory->open("the directory above", O_PATH | O_DIRECTORY);
        remove_tree(files, above.get(), name.c_str());
      },
      nothing);
}

}  // namespace

void export_layer(Napi::Object exports) {
  Napi::Env env = exports.Env();
  auto layer = Napi::Object::New(env);
  layer.Set("apply", Napi::Function::New(env, apply, "apply"));
  layer.Set("write", Napi::Function::New(env, write, "write"));
  layer.Set("end", Napi::Function::New(env, end, "end"));
  layer.Set("cancel", Napi::Function::New(env, cancel, "cancel"));
  layer.Set("pack", Napi::Function::New(env, pack, "pack"));
  layer.Set("diff", Napi::Function::New(env, diff, "diff"));
  layer.Set("settle", Napi::Function::New(env, settle_layer, "settle"));
  layer.Set("remove", Napi::Function::New(env, remove, "remove"));
  exports.Set("layer", layer);
  exports.Set("opaque", Napi::Function::New(env, opaque, "opaque"));
}

}  // namespace caisson
