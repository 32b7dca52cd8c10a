#include "binding/layer_options.h"

#include <fcntl.h>

#include <cmath>

#include "binding/convert.h"

namespace caisson {

namespace {

// Absent and Infinity: no limit.
uint64_t limit(const Napi::Object& object, const char* key) {
  const double value = number_or(object, key, INFINITY);
  return value >= 18e18 ? UINT64_MAX : static_cast<uint64_t>(value);
}

bool truth_or(const Napi::Object& object, const char* key, bool otherwise) {
  Napi::Value value = object.Get(key);
  return value.IsUndefined() ? otherwise : value.ToBoolean().Value();
}

template <typename T>
std::optional<T> optional_number(const Napi::Object& object, const char* key) {
  Napi::Value value = object.Get(key);
  if (value.IsUndefined()) return std::nullopt;
  return static_cast<T>(number(value));
}

// Triples: inside, outside, count.
std::vector<IdRange> id_ranges(const Napi::Value& value) {
  std::vector<IdRange> ranges;
  if (!value.IsArray()) return ranges;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i + 2 < array.Length(); i += 3) {
    auto at = [&](uint32_t k) { return static_cast<uint64_t>(number(array[i + k])); };
    ranges.push_back({at(0), at(1), at(2)});
  }
  return ranges;
}

Compression compression(const std::string& name) {
  if (name == "none") return Compression::None;
  if (name == "gzip") return Compression::Gzip;
  if (name == "zstd") return Compression::Zstd;
  return Compression::Auto;
}

const char* name(Compression compression) {
  switch (compression) {
    case Compression::Gzip:
      return "gzip";
    case Compression::Zstd:
      return "zstd";
    default:
      return "none";
  }
}

const char* name(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::Malformed:
      return "malformed";
    case Fault::Kind::Refused:
      return "refused";
    case Fault::Kind::Limit:
      return "limit";
    case Fault::Kind::Digest:
      return "digest";
    case Fault::Kind::Cancelled:
      return "cancelled";
    case Fault::Kind::System:
      break;
  }
  return "system";
}

}  // namespace

Location location(const Napi::Value& value) {
  Location result;
  if (value.IsNumber())
    result.fd.reset(fcntl(value.As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 3));
  else
    result.path = text(value);
  return result;
}

std::vector<Location> locations(const Napi::Value& value) {
  std::vector<Location> result;
  if (!value.IsArray()) return result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) result.push_back(location(array[i]));
  return result;
}

std::string bytes_of(const Napi::Value& value) {
  size_t size = 0;
  napi_get_value_string_latin1(value.Env(), value, nullptr, 0, &size);
  std::string bytes(size, '\0');
  napi_get_value_string_latin1(value.Env(), value, bytes.data(), size + 1, &size);
  return bytes;
}

Napi::Value to_bytes(Napi::Env env, const std::string& bytes) {
  napi_value value;
  napi_create_string_latin1(env, bytes.data(), bytes.size(), &value);
  return Napi::Value(env, value);
}

JobOptions job_options(const Napi::Object& request) {
  JobOptions options;
  options.compression = compression(text_or(request, "compression", "auto"));
  options.digests = truth_or(request, "digests", true);
  options.digest = text_or(request, "digest");
  options.diff_id = text_or(request, "diffId");
  options.size = optional_number<uint64_t>(request, "size");
  options.sync = truth(request, "sync");
  ApplyOptions& apply = options.apply;
  const std::string whiteouts = text_or(request, "whiteouts", "overlay");
  apply.whiteouts = whiteouts == "apply"  ? Whiteouts::Apply
                    : whiteouts == "none" ? Whiteouts::None
                                          : Whiteouts::Overlay;
  apply.overlay_xattrs = text_or(request, "overlayXattrs", "trusted");
  if (request.Has("base")) apply.base = bytes_of(request.Get("base"));
  apply.owners = truth_or(request, "owners", true);
  apply.uids = id_ranges(request.Get("uids"));
  apply.gids = id_ranges(request.Get("gids"));
  const std::string devices = text_or(request, "devices", "make");
  apply.devices = devices == "skip"     ? ApplyOptions::Devices::Skip
                  : devices == "refuse" ? ApplyOptions::Devices::Refuse
                                        : ApplyOptions::Devices::Make;
  apply.replace_kind = truth_or(request, "replaceKind", true);
  apply.lenient_end = truth(request, "lenientEnd");
  apply.limits.bytes = limit(request, "maxBytes");
  apply.limits.entries = limit(request, "maxEntries");
  apply.limits.file_size = limit(request, "maxFileSize");
  apply.limits.ratio = static_cast<uint64_t>(number_or(request, "maxRatio", 0));
  return options;
}

PackOptions pack_options(const Napi::Object& request) {
  PackOptions options;
  options.overlay = truth(request, "overlay");
  options.overlay_xattrs = text_or(request, "overlayXattrs", "trusted");
  options.layer = truth_or(request, "layer", true);
  if (request.Has("base")) options.base = bytes_of(request.Get("base"));
  if (request.Has("name")) options.name = bytes_of(request.Get("name"));
  if (Napi::Value value = request.Get("changes"); value.IsArray()) {
    // Paths and whether they are deleted, in turn.
    auto& changes = options.changes.emplace();
    auto array = value.As<Napi::Array>();
    for (uint32_t i = 0; i + 1 < array.Length(); i += 2)
      changes[bytes_of(array[i])] = Napi::Value(array[i + 1]).ToBoolean().Value();
  }
  options.uids = id_ranges(request.Get("uids"));
  options.gids = id_ranges(request.Get("gids"));
  options.uid = optional_number<uint32_t>(request, "uid");
  options.gid = optional_number<uint32_t>(request, "gid");
  options.live = truth(request, "live");
  options.subseconds = truth(request, "subseconds");
  options.latest = optional_number<int64_t>(request, "latest");
  options.bytes_max = limit(request, "maxBytes");
  options.few_holes = truth(request, "fewHoles");
  return options;
}

DiffOptions diff_options(const Napi::Object& request) {
  DiffOptions options;
  options.merged = truth(request, "merged");
  options.xattrs = text_or(request, "overlayXattrs", "trusted");
  if (Napi::Value value = request.Get("own"); value.IsArray()) {
    auto array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) options.own.insert(bytes_of(array[i]));
  }
  options.uids = id_ranges(request.Get("uids"));
  options.gids = id_ranges(request.Get("gids"));
  return options;
}

// Paths and targets in turn.
std::vector<Unsettled> unsettled(const Napi::Value& value) {
  std::vector<Unsettled> result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i + 1 < array.Length(); i += 2) result.push_back({bytes_of(array[i]), bytes_of(array[i + 1])});
  return result;
}

Napi::Object to_object(Napi::Env env, const Fault& fault) {
  auto object = Napi::Object::New(env);
  object.Set("kind", name(fault.kind));
  object.Set("what", fault.what);
  object.Set("entry", to_bytes(env, fault.entry));
  object.Set("syscall", fault.syscall);
  object.Set("errno", fault.error);
  return object;
}

Napi::Object to_object(Napi::Env env, const JobResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("compression", name(result.compression));
  object.Set("digest", result.digest);
  object.Set("diffId", result.diff_id);
  object.Set("size", static_cast<double>(result.size));
  object.Set("plainSize", static_cast<double>(result.plain_size));
  object.Set("entries", static_cast<double>(result.applied.entries));
  object.Set("unpackedBytes", static_cast<double>(result.applied.bytes));
  object.Set("xattrsDropped", static_cast<double>(result.applied.xattrs_dropped));
  object.Set("devicesSkipped", static_cast<double>(result.applied.devices_skipped));
  object.Set("opaqueRoot", result.applied.opaque_root);
  auto array = Napi::Array::New(env);
  uint32_t at = 0;
  for (const Unsettled& item : result.applied.unsettled) {
    array[at++] = to_bytes(env, item.path);
    array[at++] = to_bytes(env, item.target);
  }
  object.Set("unsettled", array);
  return object;
}

Napi::Object to_object(Napi::Env env, const PackResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("diffId", result.diff_id);
  object.Set("size", static_cast<double>(result.bytes));
  object.Set("entries", static_cast<double>(result.entries));
  object.Set("socketsSkipped", static_cast<double>(result.sockets_skipped));
  return object;
}

// Paths and kinds ('A', 'C', 'D' as `docker diff` prints them) in turn.
Napi::Array to_array(Napi::Env env, const std::vector<Change>& changes) {
  auto array = Napi::Array::New(env);
  uint32_t at = 0;
  for (const Change& change : changes) {
    array[at++] = to_bytes(env, change.path);
    array[at++] = Napi::String::New(env, change.kind == Change::Kind::Added      ? "A"
                                         : change.kind == Change::Kind::Modified ? "C"
                                                                                 : "D");
  }
  return array;
}

}  // namespace caisson
