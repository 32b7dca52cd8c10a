// From whatever compression a stream has to its plain bytes.
#pragma once

#include "core/compress/stream.h"

namespace caisson {

enum class Compression { Auto, None, Gzip, Zstd };

// Decodes up to the end of the input. Auto looks at the first bytes: what is neither gzip nor zstd is taken as it is.
// Returns what it was. Throws a Fault.
Compression decode(Compression compression, ByteReader& in, Output& out);

}  // namespace caisson
