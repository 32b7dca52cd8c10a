// What builds copy from: directories of the host.
#pragma once

#include <napi.h>

namespace caisson {

void export_inventory(Napi::Object exports);

}  // namespace caisson
