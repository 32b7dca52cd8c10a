#include "binding/blob.h"

#include "binding/convert.h"
#include "binding/mailbox.h"
#include "core/blob_file.h"

namespace caisson {

namespace {

using Handle = Napi::External<std::shared_ptr<BlobFile>>;

BlobFile& blob(const Napi::Value& value) { return **value.As<Handle>().Data(); }

Napi::Value value_of(Napi::Env env, const Nothing&) { return env.Undefined(); }
Napi::Value value_of(Napi::Env env, const std::string& text) { return Napi::String::New(env, text); }
Napi::Value value_of(Napi::Env env, uint64_t number) { return Napi::Number::New(env, static_cast<double>(number)); }

// A promise of what `ask` brings about; the event loop waits for it. Arguments of the call stay as long.
template <typename T, typename Ask>
Napi::Value promised(const Napi::CallbackInfo& info, Ask ask) {
  struct Held {
    Napi::Promise::Deferred deferred;
    Napi::Reference<Napi::Value> handle, argument;
  };
  Napi::Env env = info.Env();
  auto mailbox = Mailbox::of(env);
  auto* held = new Held{Napi::Promise::Deferred::New(env), Napi::Reference<Napi::Value>::New(info[0], 1), {}};
  if (info[1].IsTypedArray()) held->argument = Napi::Reference<Napi::Value>::New(info[1], 1);
  auto promise = held->deferred.Promise();
  mailbox->hold();
  ask([held, mailbox](Result<T> result) {
    mailbox->post([held, mailbox, result = std::move(result)](Napi::Env env) mutable {
      mailbox->release();
      if (result)
        held->deferred.Resolve(value_of(env, *result));
      else
        held->deferred.Reject(to_object(env, result.failure()));
      delete held;
    });
  });
  return promise;
}

// (fd, algorithm, path): a handle. The descriptor is duplicated.
Napi::Value open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto opened = BlobFile::open(static_cast<int>(number(info[0])), Hasher(text(info[1])), text(info[2]));
  Mailbox::of(env)->at_end(opened, [file = std::weak_ptr(opened)] {
    if (auto still = file.lock()) still->abandon();
  });
  auto* held = new std::shared_ptr<BlobFile>(std::move(opened));
  return Handle::New(env, held, [](Napi::Env, std::shared_ptr<BlobFile>* data) {
    (*data)->abandon();
    delete data;
  });
}

// (handle, end): a promise of where it stands then.
Napi::Value resume(const Napi::CallbackInfo& info) {
  auto end = static_cast<uint64_t>(number(info[1]));
  return promised<uint64_t>(info, [&](auto done) { blob(info[0]).resume(end, std::move(done)); });
}

// (handle, Uint8Array): a promise. Until it is settled the memory must not change.
Napi::Value write(const Napi::CallbackInfo& info) {
  auto chunk = info[1].As<Napi::Uint8Array>();
  return promised<Nothing>(
      info, [&](auto done) { blob(info[0]).write(chunk.Data(), chunk.ByteLength(), std::move(done)); });
}

Napi::Value sync(const Napi::CallbackInfo& info) {
  return promised<Nothing>(info, [&](auto done) { blob(info[0]).sync(std::move(done)); });
}

Napi::Value digest(const Napi::CallbackInfo& info) {
  return promised<std::string>(info, [&](auto done) { blob(info[0]).digest(std::move(done)); });
}

Napi::Value close(const Napi::CallbackInfo& info) {
  return promised<Nothing>(
      info, [&](auto done) { blob(info[0]).close([done = std::move(done)] { done(Nothing{}); }); });
}

}  // namespace

void export_blob(Napi::Object exports) {
  Napi::Env env = exports.Env();
  auto blob = Napi::Object::New(env);
  blob.Set("open", Napi::Function::New(env, open, "open"));
  blob.Set("resume", Napi::Function::New(env, resume, "resume"));
  blob.Set("write", Napi::Function::New(env, write, "write"));
  blob.Set("sync", Napi::Function::New(env, sync, "sync"));
  blob.Set("digest", Napi::Function::New(env, digest, "digest"));
  blob.Set("close", Napi::Function::New(env, close, "close"));
  exports.Set("blob", blob);
}

}  // namespace caisson
