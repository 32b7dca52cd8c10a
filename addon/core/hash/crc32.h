// The CRC-32 of gzip (RFC 1952, section 8: reflected, polynomial 0xEDB88320).
#pragma once

#include <cstddef>
#include <cstdint>

namespace caisson {

// Continues from `crc`, which is 0 at the start.
uint32_t crc32(uint32_t crc, const void* data, size_t size);

// One implementation. Takes and gives the register as it is, without the inversion before and after.
using Crc32Update = uint32_t (*)(uint32_t state, const uint8_t* data, size_t size);

uint32_t crc32_portable(uint32_t state, const uint8_t* data, size_t size);
// Null where this build or this processor has none.
Crc32Update crc32_native();

}  // namespace caisson
