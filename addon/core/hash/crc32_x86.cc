// CRC-32 by carry-less multiplication: 64 bytes are folded onto the next 64 in each step, then the last 16 bytes, which
// are congruent to all before, go through the table (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ Instruction", 2009; the constants are powers of x modulo the polynomial, in reflected order).
#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include "core/hash/crc32.h"

namespace caisson {

namespace {

#define TARGET_CLMUL __attribute__((target("pclmul,sse2")))

TARGET_CLMUL inline __m128i fold(__m128i sum, __m128i next, __m128i powers) {
  return _mm_xor_si128(
      next, _mm_xor_si128(_mm_clmulepi64_si128(sum, powers, 0x00), _mm_clmulepi64_si128(sum, powers, 0x11)));
}

TARGET_CLMUL inline __m128i load(const uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

TARGET_CLMUL uint32_t update(uint32_t state, const uint8_t* data, size_t size) {
  if (size < 64) return crc32_portable(state, data, size);
  const __m128i over_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);  // x^(512-32), x^(512+32)
  const __m128i over_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);  // x^(128-32), x^(128+32)
  __m128i sums[4];
  for (int i = 0; i < 4; i++) sums[i] = load(data + 16 * i);
  sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128(static_cast<int>(state)));
  for (data += 64, size -= 64; size >= 64; data += 64, size -= 64)
    for (int i = 0; i < 4; i++) sums[i] = fold(sums[i], load(data + 16 * i), over_64);
  __m128i sum = sums[0];
  for (int i = 1; i < 4; i++) sum = fold(sum, sums[i], over_16);
  for (; size >= 16; data += 16, size -= 16) sum = fold(sum, load(data), over_16);
  uint8_t rest[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), sum);
  return crc32_portable(crc32_portable(0, rest, sizeof rest), data, size);
}

}  // namespace

Crc32Update crc32_native() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL) ? update : nullptr;
}

}  // namespace caisson

#endif
