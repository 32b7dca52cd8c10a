// Headers for tar archives: ustar, and extended headers for what ustar cannot say.
#pragma once

#include <string>

#include "core/tar/entry.h"

namespace caisson::tar {

// The header blocks of a member. The same entry gives the same bytes: user names are left out, records are sorted, and
// seconds have fractions only where they are not zero.
std::string header_blocks(const Entry& entry);

}  // namespace caisson::tar
