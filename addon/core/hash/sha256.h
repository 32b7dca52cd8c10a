// SHA-256 (FIPS 180-4), with the instructions for it where the processor has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/hash/blocks.h"

namespace caisson {

class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  Sha256();
  void update(const void* data, size_t size);
  // Ends it; no update may follow.
  Digest finish();
  // `sha256:` and 64 hexadecimal digits, as OCI writes digests.
  std::string finish_text();

 private:
  std::array<uint32_t, 8> state_;
  HashBlocks<64, 8> blocks_;
};

// One implementation: folds `count` blocks of 64 bytes into the state.
using Sha256Blocks = void (*)(uint32_t state[8], const uint8_t* data, size_t count);

extern const uint32_t SHA256_CONSTANTS[64];
void sha256_blocks_portable(uint32_t state[8], const uint8_t* data, size_t count);
// Null where this build or this processor has none.
Sha256Blocks sha256_blocks_native();

}  // namespace caisson
