// The tables that sequences are decoded with (RFC 8878, section 3.1.1.3.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/compress/zstd_block.h"

namespace caisson::zstd {

struct SequenceHeader {
  size_t count;
  size_t size;  // bytes of the header with its tables
};

// Brings the three tables up to date. Throws a Fault. Without sequences the header must be all that there is.
SequenceHeader read_sequence_header(std::span<const uint8_t> data, SequenceTable& lengths, SequenceTable& distances,
                                    SequenceTable& matches);

}  // namespace caisson::zstd
