// SHA-512 and SHA-384 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/hash/blocks.h"

namespace caisson {

class Sha512 {
 public:
  enum class Size { Bits384 = 48, Bits512 = 64 };  // bytes of the digest

  explicit Sha512(Size size = Size::Bits512);
  void update(const void* data, size_t size);
  // Ends it; no update may follow. As many bytes as the size says.
  std::string finish();

 private:
  Size digest_;
  std::array<uint64_t, 8> state_;
  HashBlocks<128, 16> blocks_;
};

}  // namespace caisson
