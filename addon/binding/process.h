// Exported functions around Process.
#pragma once

#include <napi.h>

namespace caisson {

void export_process(Napi::Object exports);

}  // namespace caisson
