// SHA-256 with the SHA extensions of x86 (Intel 64 and IA-32 manual, volume 2, SHA256RNDS2 and following).
#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include "core/hash/sha256.h"

namespace caisson {

namespace {

__attribute__((target("sha,sse4.1"))) void blocks(uint32_t state[8], const uint8_t* data, size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions want the eight words as ABEF and CDGH, highest first.
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xb1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(low, high, 8);
  __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; count > 0; count--, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), swap);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      __m128i& now = w[i & 3];
      const __m128i last = w[(i + 3) & 3];
      __m128i sum = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(SHA256_CONSTANTS) + i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (i < 12) {
        __m128i next = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
        now = _mm_sha256msg2_epu32(next, last);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);
  high = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(high, low, 8));
}

}  // namespace

Sha256Blocks sha256_blocks_native() {
  unsigned a, b, c, d;
  constexpr unsigned SSSE3_AND_SSE41 = bit_SSSE3 | bit_SSE4_1, SHA = 1u << 29;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & SSSE3_AND_SSE41) != SSSE3_AND_SSE41) return nullptr;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & SHA)) return nullptr;
  return blocks;
}

}  // namespace caisson

#endif
