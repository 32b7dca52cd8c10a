// Exported functions around files of content: hashing, writing, syncing.
#pragma once

#include <napi.h>

namespace caisson {

void export_blob(Napi::Object exports);

}  // namespace caisson
