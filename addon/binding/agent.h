// Exported functions around the file agent, and around descriptors that it sends.
#pragma once

#include <napi.h>

namespace caisson {

void export_agent(Napi::Object exports);

}  // namespace caisson
