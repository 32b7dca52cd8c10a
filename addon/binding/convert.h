// Between JavaScript values and the core's structures. JavaScript has validated them; a wrong type here is a bug of the
// library and throws a TypeError.
#pragma once

#include <napi.h>

#include "core/idmap.h"
#include "core/process.h"
#include "core/result.h"
#include "core/steps.h"

namespace caisson {

std::string text(const Napi::Value& value);
std::vector<std::string> texts(const Napi::Value& value);
double number(const Napi::Value& value);
// undefined: the default
std::string text_or(const Napi::Object& object, const char* key, const char* otherwise = "");
double number_or(const Napi::Object& object, const char* key, double otherwise);
bool truth(const Napi::Object& object, const char* key);

std::vector<Step> steps(const Napi::Value& value);
CgroupPaths cgroup_paths(const Napi::Value& value);
std::vector<DeviceRule> device_rules(const Napi::Value& value);
// The parts of a request that a parked process gets later.
std::string bytes_or_empty(const Napi::Value& value);
std::array<Stdio, 3> stdio_of(const Napi::Object& request);
RunLimits run_limits(const Napi::Object& request);
IdMaps id_maps(const Napi::Value& value);
// Takes them over.
std::vector<Fd> descriptors(const Napi::Value& value);
Blueprint blueprint(const Napi::Object& request);
ProcessOptions process_options(const Napi::Object& request);

Napi::Object to_object(Napi::Env env, const Failure& failure);
Napi::Object to_object(Napi::Env env, ProcessReport& report);
Napi::Value to_buffer(Napi::Env env, std::string bytes);

}  // namespace caisson
