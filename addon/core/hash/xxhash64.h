// XXH64, the checksum of zstd frames (RFC 8878, section 3.1.1; seed 0).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace caisson {

class XxHash64 {
 public:
  XxHash64();
  void update(const void* data, size_t size);
  uint64_t value() const;

 private:
  static constexpr size_t STRIPE = 32;

  void stripe(const uint8_t* data);

  std::array<uint64_t, 4> lanes_;
  std::array<uint8_t, STRIPE> pending_;
  uint64_t size_ = 0;
};

}  // namespace caisson
