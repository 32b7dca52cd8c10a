// Zstandard (RFC 8878), decoded as a stream.
#pragma once

#include "core/compress/stream.h"

namespace caisson {

inline constexpr uint32_t ZSTD_MAGIC = 0xfd2fb528;
// 16 magic numbers, that differ in the lowest four bits.
inline constexpr uint32_t ZSTD_SKIPPABLE_MAGIC = 0x184d2a50;

// All frames up to the end of the input; skippable ones are skipped. A frame that needs a window of more than
// `window_max` bytes, or a dictionary, is refused.
void decode_zstd(ByteReader& in, Output& out, size_t window_max = size_t{128} << 20);

}  // namespace caisson
