#include "binding/convert.h"

namespace caisson {

std::string text(const Napi::Value& value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "caisson addon: expected a string");
  return value.As<Napi::String>();
}

double number(const Napi::Value& value) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), "caisson addon: expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

std::vector<std::string> texts(const Napi::Value& value) {
  std::vector<std::string> result;
  if (!value.IsArray()) return result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) result.push_back(text(array[i]));
  return result;
}

std::string text_or(const Napi::Object& object, const char* key, const char* otherwise) {
  Napi::Value value = object.Get(key);
  return value.IsUndefined() ? otherwise : text(value);
}

double number_or(const Napi::Object& object, const char* key, double otherwise) {
  Napi::Value value = object.Get(key);
  return value.IsUndefined() ? otherwise : number(value);
}

bool truth(const Napi::Object& object, const char* key) { return object.Get(key).ToBoolean(); }

std::vector<Step> steps(const Napi::Value& value) {
  std::vector<Step> result;
  if (!value.IsArray()) return result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto object = Napi::Value(array[i]).As<Napi::Object>();
    Step step;
    step.path = text(object.Get("path"));
    Napi::Value written = object.Get("text"), content = object.Get("content"), target = object.Get("target");
    step.kind = written.IsString()   ? Step::Kind::Write
                : content.IsString() ? Step::Kind::CreateFile
                : target.IsString()  ? Step::Kind::Symlink
                                     : Step::Kind::MakeDirectory;
    for (const Napi::Value& value : {written, content, target})
      if (value.IsString()) step.text = text(value);
    step.stage = text_or(object, "stage", "prepare");
    step.lenient = truth(object, "lenient");
    step.closed = truth(object, "closed");
    step.late = truth(object, "late");
    result.push_back(std::move(step));
  }
  return result;
}

CgroupPaths cgroup_paths(const Napi::Value& value) {
  CgroupPaths paths;
  if (!value.IsObject()) return paths;
  auto object = value.As<Napi::Object>();
  paths.unified = text_or(object, "unified");
  paths.entered = text_or(object, "entered");
  paths.legacy = texts(object.Get("legacy"));
  paths.freezer = text_or(object, "freezer");
  return paths;
}

IdMaps id_maps(const Napi::Value& value) {
  IdMaps maps;
  if (!value.IsObject()) return maps;
  auto object = value.As<Napi::Object>();
  maps.uid = text_or(object, "uid");
  maps.gid = text_or(object, "gid");
  maps.deny_setgroups = truth(object, "denySetgroups");
  maps.uid_helper = text_or(object, "uidHelper");
  maps.gid_helper = text_or(object, "gidHelper");
  return maps;
}

std::vector<Fd> descriptors(const Napi::Value& value) {
  std::vector<Fd> fds;
  if (!value.IsArray()) return fds;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) fds.emplace_back(static_cast<int>(number(array[i])));
  return fds;
}

namespace {

Stdio stdio(const Napi::Value& value) {
  Stdio result;
  if (value.IsNumber()) {
    result.kind = Stdio::Kind::Given;
    result.fd.reset(value.As<Napi::Number>().Int32Value());
  } else if (value.IsString()) {
    std::string kind = text(value);
    if (kind == "capture") result.kind = Stdio::Kind::Capture;
    if (kind == "input") result.kind = Stdio::Kind::Input;
    if (kind == "open") result.kind = Stdio::Kind::Open;
  }
  return result;
}

}  // namespace

std::vector<DeviceRule> device_rules(const Napi::Value& value) {
  std::vector<DeviceRule> rules;
  if (!value.IsArray()) return rules;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto object = Napi::Value(array[i]).As<Napi::Object>();
    DeviceRule rule;
    rule.allow = truth(object, "allow");
    rule.type = text_or(object, "type", "a")[0];
    rule.major = static_cast<int64_t>(number_or(object, "major", DeviceRule::ANY));
    rule.minor = static_cast<int64_t>(number_or(object, "minor", DeviceRule::ANY));
    rule.access = 0;
    for (char access : text_or(object, "access", "rwm"))
      rule.access |= access == 'm' ? DeviceRule::MKNOD : access == 'r' ? DeviceRule::READ : DeviceRule::WRITE;
    rules.push_back(rule);
  }
  return rules;
}

std::string bytes_or_empty(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  auto bytes = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

std::array<Stdio, 3> stdio_of(const Napi::Object& request) {
  std::array<Stdio, 3> result;
  auto streams = request.Get("stdio").As<Napi::Array>();
  for (uint32_t i = 0; i < 3; i++) result[i] = stdio(streams[i]);
  return result;
}

RunLimits run_limits(const Napi::Object& request) {
  RunLimits limits;
  limits.capture = static_cast<uint64_t>(number_or(request, "captureLimit", 0));
  limits.wall_ms = number_or(request, "wallLimitMs", 0);
  limits.cpu_ms = number_or(request, "cpuLimitMs", 0);
  limits.quiet = truth(request, "quiet");
  return limits;
}

Blueprint blueprint(const Napi::Object& request) {
  Blueprint options;
  options.plan = bytes_or_empty(request.Get("plan"));
  options.namespaces = static_cast<uint64_t>(number_or(request, "namespaces", 0));
  options.cgroup = cgroup_paths(request.Get("cgroup"));
  options.born_outside = truth(request, "bornOutside");
  options.devices = device_rules(request.Get("devices"));
  options.prepare = steps(request.Get("prepare"));
  options.awaits_steps = truth(request, "awaitsSteps");
  options.inherited_paths = texts(request.Get("inheritedPaths"));
  options.new_network = truth(request, "newNetwork");
  options.cpu_file = text_or(request, "cpuFile");
  options.oom_control = text_or(request, "oomControl");
  options.collect = texts(request.Get("collect"));
  options.kill_rest = truth(request, "killRest");
  options.marked = truth(request, "marked");
  options.guarded = truth(request, "guarded");
  options.own_pids = truth(request, "ownPids");
  return options;
}

ProcessOptions process_options(const Napi::Object& request) {
  ProcessOptions options(blueprint(request));
  options.stdio = stdio_of(request);
  options.input = bytes_or_empty(request.Get("input"));
  options.inherited = descriptors(request.Get("inherited"));
  options.limits = run_limits(request);
  options.parks = truth(request, "parks");
  options.log = text_or(request, "log");
  options.log_limit = static_cast<uint64_t>(number_or(request, "logLimit", 0));
  return options;
}

Napi::Object to_object(Napi::Env env, const Failure& failure) {
  auto object = Napi::Object::New(env);
  object.Set("stage", failure.stage);
  object.Set("syscall", failure.syscall);
  object.Set("errno", failure.error);
  object.Set("path", failure.path);
  object.Set("record", failure.record);
  return object;
}

Napi::Value to_buffer(Napi::Env env, std::string bytes) {
  constexpr size_t COPY_BELOW = 64 << 10;
  if (bytes.size() < COPY_BELOW) return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size());
  auto* kept = new std::string(std::move(bytes));
  return Napi::Buffer<char>::NewOrCopy(env, kept->data(), kept->size(), [kept](Napi::Env, char*) { delete kept; });
}

namespace {

double milliseconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1000 + static_cast<double>(time.tv_usec) / 1000;
}

const char* name(Cause cause) {
  switch (cause) {
    case Cause::Timeout:
      return "timeout";
    case Cause::Cpu:
      return "cpu";
    case Cause::Output:
      return "output";
    case Cause::Aborted:
      return "aborted";
    case Cause::Oom:
      return "oom";
    case Cause::Stopped:
      return "stopped";
    case Cause::None:
      break;
  }
  return "";
}

}  // namespace

Napi::Object to_object(Napi::Env env, ProcessReport& report) {
  auto object = Napi::Object::New(env);
  if (report.failure) object.Set("failure", to_object(env, *report.failure));
  object.Set("pid", report.pid);
  object.Set("code", report.code);
  object.Set("status", report.status);
  object.Set("cause", name(report.cause));
  object.Set("durationMs", report.duration_ms);
  object.Set("userMs", milliseconds(report.usage.ru_utime));
  object.Set("systemMs", milliseconds(report.usage.ru_stime));
  object.Set("stdout", to_buffer(env, std::move(report.output[0])));
  object.Set("stderr", to_buffer(env, std::move(report.output[1])));
  object.Set("truncated", report.truncated);
  auto collected = Napi::Array::New(env, report.collected.size());
  for (uint32_t i = 0; i < report.collected.size(); i++) collected[i] = Napi::String::New(env, report.collected[i]);
  object.Set("collected", collected);
  return object;
}

}  // namespace caisson
