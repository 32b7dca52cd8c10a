// Numbers in memory, at any alignment and in either order.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace caisson {

template <typename T>
inline T load_native(const void* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}

inline uint16_t swap_bytes(uint16_t value) { return __builtin_bswap16(value); }
inline uint32_t swap_bytes(uint32_t value) { return __builtin_bswap32(value); }
inline uint64_t swap_bytes(uint64_t value) { return __builtin_bswap64(value); }

template <typename T>
inline T load_le(const void* at) {
  T value = load_native<T>(at);
  return std::endian::native == std::endian::little ? value : swap_bytes(value);
}

inline uint16_t load_le16(const void* at) { return load_le<uint16_t>(at); }
inline uint32_t load_le32(const void* at) { return load_le<uint32_t>(at); }
inline uint64_t load_le64(const void* at) { return load_le<uint64_t>(at); }

inline uint32_t load_be32(const void* at) {
  uint32_t value = load_native<uint32_t>(at);
  return std::endian::native == std::endian::big ? value : swap_bytes(value);
}

inline uint64_t load_be64(const void* at) {
  uint64_t value = load_native<uint64_t>(at);
  return std::endian::native == std::endian::big ? value : swap_bytes(value);
}

inline void store_le32(void* at, uint32_t value) {
  if (std::endian::native == std::endian::big) value = swap_bytes(value);
  memcpy(at, &value, sizeof value);
}

inline void store_native64(void* at, uint64_t value) { memcpy(at, &value, sizeof value); }

}  // namespace caisson
