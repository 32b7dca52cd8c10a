// SHA-256 with the cryptography extension of ARMv8, and nothing on processors that are neither this nor x86.
#if defined(__aarch64__) && !defined(__AARCH64EB__)

#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "core/hash/sha256.h"

#if defined(__clang__)
#define TARGET_SHA2 __attribute__((target("sha2")))
#else
#define TARGET_SHA2 __attribute__((target("+crypto")))
#endif

namespace caisson {

namespace {

TARGET_SHA2 void blocks(uint32_t state[8], const uint8_t* data, size_t count) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; count > 0; count--, data += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];
    for (int i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(SHA256_CONSTANTS + 4 * i));
      const uint32x4_t before = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, before, sum);
      if (i < 12)
        w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace

Sha256Blocks sha256_blocks_native() { return getauxval(AT_HWCAP) & HWCAP_SHA2 ? blocks : nullptr; }

}  // namespace caisson

#elif !defined(__x86_64__)

#include "core/hash/sha256.h"

namespace caisson {

Sha256Blocks sha256_blocks_native() { return nullptr; }

}  // namespace caisson

#endif
