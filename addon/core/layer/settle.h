// What an unpacked layer still needs from those below it, when these are there: ApplyResult::unsettled.
#pragma once

#include <string>
#include <vector>

#include "core/layer/applier.h"

namespace caisson {

// Directories that no member named take owner, mode, time and attributes from below; hard links to files of other
// layers become copies of them. `root` is the layer, `lowers` those below it, the uppermost first. Throws a Fault.
void settle(FileSystem& files, int root, std::vector<int> lowers, const std::string& xattrs,
            const std::vector<Unsettled>& unsettled);

}  // namespace caisson
