// Exported functions around layers: applying, packing and comparing trees.
#pragma once

#include <napi.h>

namespace caisson {

void export_layer(Napi::Object exports);

}  // namespace caisson
