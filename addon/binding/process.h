// Exported functions around Process.
#pragma once

#include <napi.h>

#include <memory>

#include "core/process.h"

namespace caisson {

void export_process(Napi::Object exports);

// The process behind a value that start() returned.
std::shared_ptr<Process> process_of(const Napi::Value& value);

}  // namespace caisson
