#include "core/hash/crc32.h"

#include <array>

#include "core/bytes.h"

namespace caisson {

namespace {

// tables[n][b]: the register after byte b and n zero bytes. Eight of them take eight bytes in one step.
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t state = byte;
    for (int bit = 0; bit < 8; bit++) state = (state >> 1) ^ (state & 1 ? 0xedb88320u : 0);
    tables[0][byte] = state;
  }
  for (int n = 1; n < 8; n++)
    for (uint32_t byte = 0; byte < 256; byte++)
      tables[n][byte] = (tables[n - 1][byte] >> 8) ^ tables[0][tables[n - 1][byte] & 0xff];
  return tables;
}

constexpr auto TABLES = make_tables();

}  // namespace

uint32_t crc32_portable(uint32_t state, const uint8_t* data, size_t size) {
  for (; size >= 8; size -= 8, data += 8) {
    uint64_t word = load_le64(data) ^ state;
    state = 0;
    for (int i = 0; i < 8; i++) state ^= TABLES[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; size > 0; size--) state = (state >> 8) ^ TABLES[0][(state ^ *data++) & 0xff];
  return state;
}

uint32_t crc32(uint32_t crc, const void* data, size_t size) {
  static const Crc32Update chosen = crc32_native() ? crc32_native() : crc32_portable;
  return ~chosen(~crc, static_cast<const uint8_t*>(data), size);
}

}  // namespace caisson
