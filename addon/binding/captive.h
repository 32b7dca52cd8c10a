// Namespaces that lead to us alone, as functions for JavaScript.
#pragma once

#include <napi.h>

namespace caisson {

// Among those of networks.
void export_captive(Napi::Object network);

}  // namespace caisson
