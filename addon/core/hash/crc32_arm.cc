// CRC-32 with the instructions of ARMv8, and nothing on processors that are neither this nor x86.
#if defined(__aarch64__) && !defined(__AARCH64EB__)

#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "core/bytes.h"
#include "core/hash/crc32.h"

#if defined(__clang__)
#define TARGET_CRC __attribute__((target("crc")))
#define CRC32X __builtin_arm_crc32d
#define CRC32B __builtin_arm_crc32b
#else
#define TARGET_CRC __attribute__((target("+crc")))
#define CRC32X __builtin_aarch64_crc32x
#define CRC32B __builtin_aarch64_crc32b
#endif

namespace caisson {

namespace {

TARGET_CRC uint32_t update(uint32_t state, const uint8_t* data, size_t size) {
  for (; size >= 8; size -= 8, data += 8) state = CRC32X(state, load_le64(data));
  for (; size > 0; size--) state = CRC32B(state, *data++);
  return state;
}

}  // namespace

Crc32Update crc32_native() { return getauxval(AT_HWCAP) & HWCAP_CRC32 ? update : nullptr; }

}  // namespace caisson

#elif !defined(__x86_64__)

#include "core/hash/crc32.h"

namespace caisson {

Crc32Update crc32_native() { return nullptr; }

}  // namespace caisson

#endif
