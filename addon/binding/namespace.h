// Exported functions around namespaces and errands.
#pragma once

#include <napi.h>

namespace caisson {

void export_namespace(Napi::Object exports);

}  // namespace caisson
