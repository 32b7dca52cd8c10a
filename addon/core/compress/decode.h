// From whatever compression a stream has to its plain bytes.
#pragma once

#include "core/compress/stream.h"

namespace caisson {

enum class Compression { Auto, None, Gzip, Zstd };

// What the first bytes say: what is neither gzip nor zstd counts as None. Takes nothing from the input.
Compression detect(ByteReader& in);

// Decodes up to the end of the input; `compression` is not Auto. Throws a Fault.
void decode(Compression compression, ByteReader& in, Output& out);

}  // namespace caisson
