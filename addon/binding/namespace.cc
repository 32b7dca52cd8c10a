#include "binding/namespace.h"

#include <fcntl.h>

#include "binding/convert.h"
#include "binding/promise.h"
#include "core/errand.h"
#include "core/namespace.h"
#include "core/shortage.h"

namespace caisson {

static Napi::Object to_object(Napi::Env env, const NamespaceFacts& facts) {
  auto owners = Napi::Array::New(env, facts.owners.size());
  for (uint32_t i = 0; i < facts.owners.size(); i++)
    owners[i] = Napi::Number::New(env, static_cast<double>(facts.owners[i]));
  auto object = Napi::Object::New(env);
  object.Set("parent", static_cast<double>(facts.parent));
  object.Set("owners", owners);
  object.Set("ownerUid", static_cast<double>(facts.owner_uid));
  return object;
}

// Not in the unnamed namespace: promise() finds them by their arguments.
static Napi::Value to_value(Napi::Env env, Namespace& opened) {
  auto object = Napi::Object::New(env);
  object.Set("fd", opened.fd.release());
  object.Set("flag", opened.flag);
  object.Set("inode", static_cast<double>(opened.inode));
  return object;
}

static Napi::Value to_value(Napi::Env env, std::vector<NamespaceRow>& rows) {
  auto array = Napi::Array::New(env, rows.size());
  for (uint32_t i = 0; i < rows.size(); i++) {
    NamespaceRow& row = rows[i];
    auto object = Napi::Object::New(env);
    object.Set("flag", row.flag);
    object.Set("inode", static_cast<double>(row.inode));
    object.Set("processes", row.processes);
    object.Set("pid", row.pid);
    object.Set("ppid", row.ppid);
    object.Set("uid", row.uid);
    object.Set("user", row.user);
    object.Set("command", row.command);
    object.Set("path", row.path);
    object.Set("facts", to_object(env, row.facts));
    array[i] = object;
  }
  return array;
}

static Napi::Value to_value(Napi::Env env, Errand& errand) {
  auto opened = Napi::Array::New(env, errand.opened.size());
  for (uint32_t i = 0; i < errand.opened.size(); i++)
    opened[i] = Napi::Number::New(env, errand.opened[i].release());
  auto sockets = Napi::Array::New(env, errand.sockets.size());
  for (uint32_t i = 0; i < errand.sockets.size(); i++)
    sockets[i] = Napi::Number::New(env, errand.sockets[i].release());
  auto texts = Napi::Array::New(env, errand.texts.size());
  for (uint32_t i = 0; i < errand.texts.size(); i++) texts[i] = Napi::String::New(env, errand.texts[i]);
  auto probed = Napi::Array::New(env, errand.probed.size());
  for (uint32_t i = 0; i < errand.probed.size(); i++) {
    auto one = Napi::Object::New(env);
    one.Set("errno", errand.probed[i].error);
    one.Set("value", errand.probed[i].value);
    probed[i] = one;
  }
  auto object = Napi::Object::New(env);
  object.Set("opened", opened);
  object.Set("probed", probed);
  object.Set("sockets", sockets);
  object.Set("texts", texts);
  object.Set("hold", errand.hold.release());
  return object;
}

namespace {

Napi::Value open_by_path(const Napi::CallbackInfo& info) {
  return promise(info.Env(), Threads::slow(), [path = text(info[0])] { return open_namespace(path); });
}

Napi::Value list(const Napi::CallbackInfo& info) {
  auto flags = static_cast<uint64_t>(number(info[0]));
  auto pid = static_cast<pid_t>(number(info[1]));
  return promise(info.Env(), Threads::slow(), [flags, pid] { return list_namespaces(flags, pid); });
}

Napi::Value facts(const Napi::CallbackInfo& info) {
  return to_object(info.Env(), namespace_facts(static_cast<int>(number(info[0]))));
}

Napi::Value persist(const Napi::CallbackInfo& info) {
  auto fd = static_cast<int>(number(info[0]));
  return promise(info.Env(), Threads::slow(), [fd, path = text(info[1])] { return persist_namespace(fd, path); });
}

Napi::Value errand(const Napi::CallbackInfo& info) {
  auto request = info[0].As<Napi::Object>();
  auto options = std::make_shared<ErrandOptions>();
  auto plan = request.Get("plan").As<Napi::Uint8Array>();
  options->plan.assign(reinterpret_cast<const char*>(plan.Data()), plan.ByteLength());
  options->namespaces = static_cast<uint64_t>(number_or(request, "namespaces", 0));
  options->cgroup = text_or(request, "cgroup");
  options->maps = id_maps(request.Get("maps"));
  options->inherited = descriptors(request.Get("inherited"));
  options->open = texts(request.Get("open"));
  options->read = texts(request.Get("read"));
  options->keep = truth(request, "keep");
  return promise(info.Env(), Threads::slow(), [options] { return run_errand(std::move(*options)); });
}

// A duplicate that is closed on exec, or a failure.
Napi::Value duplicate(const Napi::CallbackInfo& info) {
  int of = static_cast<int>(number(info[0]));
  int fd = with_descriptors([of] { return fcntl(of, F_DUPFD_CLOEXEC, 3); });
  if (fd < 0) return to_object(info.Env(), failed("process", "fcntl", "F_DUPFD_CLOEXEC"));
  return Napi::Number::New(info.Env(), fd);
}

}  // namespace

void export_namespace(Napi::Object exports) {
  Napi::Env env = exports.Env();
  exports.Set("openNamespace", Napi::Function::New(env, open_by_path, "openNamespace"));
  exports.Set("listNamespaces", Napi::Function::New(env, list, "listNamespaces"));
  exports.Set("namespaceFacts", Napi::Function::New(env, facts, "namespaceFacts"));
  exports.Set("persistNamespace", Napi::Function::New(env, persist, "persistNamespace"));
  exports.Set("errand", Napi::Function::New(env, errand, "errand"));
  exports.Set("dup", Napi::Function::New(env, duplicate, "dup"));
}

}  // namespace caisson
