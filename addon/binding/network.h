// Networks, as functions for JavaScript.
#pragma once

#include <napi.h>

namespace caisson {

void export_network(Napi::Object exports);

}  // namespace caisson
