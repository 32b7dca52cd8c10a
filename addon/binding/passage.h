// Connections that are passed on outside of JavaScript, as functions for it.
#pragma once

#include <napi.h>

namespace caisson {

// Among those of networks.
void export_passages(Napi::Object network);

}  // namespace caisson
