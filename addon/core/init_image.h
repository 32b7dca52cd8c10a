// The init program, embedded in the addon, as a sealed memory file.
#pragma once

#include "core/result.h"

namespace caisson {

// A descriptor to execute; made once per process. Nothing can write to it, not even root in a container that finds it
// as /proc/self/exe (CVE-2019-5736).
Result<int> init_image();

}  // namespace caisson
