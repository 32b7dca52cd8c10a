// Options of the layer functions, from JavaScript's objects, and results to them.
#pragma once

#include <napi.h>

#include "core/layer/differ.h"
#include "core/layer/job.h"
#include "core/layer/packer.h"

namespace caisson {

// A path, or a descriptor, which is duplicated.
Location location(const Napi::Value& value);
std::vector<Location> locations(const Napi::Value& value);
// Strings with one character for each byte.
std::string bytes_of(const Napi::Value& value);
Napi::Value to_bytes(Napi::Env env, const std::string& bytes);

JobOptions job_options(const Napi::Object& request);
PackOptions pack_options(const Napi::Object& request);
DiffOptions diff_options(const Napi::Object& request);
std::vector<Unsettled> unsettled(const Napi::Value& value);

Napi::Object to_object(Napi::Env env, const Fault& fault);
Napi::Object to_object(Napi::Env env, const JobResult& result);
Napi::Object to_object(Napi::Env env, const PackResult& result);
Napi::Array to_array(Napi::Env env, const std::vector<Change>& changes);

}  // namespace caisson
