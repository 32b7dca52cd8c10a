#include "core/compress/inflate_tables.h"

#include <algorithm>
#include <memory>

#include "core/fault.h"

namespace caisson::deflate {

namespace {

constexpr unsigned LONGEST = 15;
constexpr size_t SYMBOLS = 288;

struct Range {
  uint16_t base;
  uint8_t extra;
};

// RFC 1951, section 3.2.5.
constexpr Range LENGTHS[] = {{3, 0},  {4, 0},  {5, 0},  {6, 0},  {7, 0},  {8, 0},  {9, 0},   {10, 0},  {11, 1},  {13, 1},
                             {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2}, {31, 2}, {35, 3},  {43, 3},  {51, 3},  {59, 3},
                             {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0}};
constexpr Range DISTANCES[] = {{1, 0},    {2, 0},    {3, 0},    {4, 0},    {5, 1},     {7, 1},     {9, 2},    {13, 2},
                               {17, 3},   {25, 3},   {33, 4},   {49, 4},   {65, 5},    {97, 5},    {129, 6},  {193, 6},
                               {257, 7},  {385, 7},  {513, 8},  {769, 8},  {1025, 9},  {1537, 9},  {2049, 10}, {3073, 10},
                               {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13}};
constexpr uint32_t UNUSED = SPECIAL;

uint32_t literal_entry(unsigned symbol, unsigned length) {
  if (symbol < 256) return symbol << 16 | length << 8 | LITERAL | length;
  if (symbol == 256) return END | SPECIAL | length;
  if (symbol - 257 >= std::size(LENGTHS)) return UNUSED;
  Range range = LENGTHS[symbol - 257];
  return static_cast<uint32_t>(range.base) << 16 | length << 8 | (length + range.extra);
}

uint32_t distance_entry(unsigned symbol, unsigned length) {
  if (symbol >= std::size(DISTANCES)) return UNUSED;
  Range range = DISTANCES[symbol];
  return static_cast<uint32_t>(range.base) << 16 | length << 8 | (length + range.extra);
}

uint32_t precode_entry(unsigned symbol, unsigned length) { return symbol << 16 | length; }

unsigned reverse(unsigned code, unsigned length) {
  unsigned reversed = 0;
  for (; length > 0; length--, code >>= 1) reversed = reversed << 1 | (code & 1);
  return reversed;
}

enum class Missing { Refused, OneCode, Any };

// Fills the first table, of 2^root entries, and behind it a second table for each prefix of `root` bits that has longer
// codes.
template <typename Entry>
void build(std::span<const uint8_t> lengths, unsigned root, std::span<uint32_t> table, Entry entry, Missing missing) {
  std::array<uint16_t, LONGEST + 1> counts{};
  for (uint8_t length : lengths) counts[length]++;
  counts[0] = 0;
  unsigned longest = LONGEST;
  while (longest > 0 && counts[longest] == 0) longest--;

  int left = 1;  // codes of the present length that are not given away
  for (unsigned length = 1; length <= LONGEST; length++) {
    left = left * 2 - counts[length];
    if (left < 0) malformed("deflate: more codes than fit");
  }
  if (left > 0) {
    bool one = longest <= 1;
    if (missing == Missing::Refused || (missing == Missing::OneCode && !one)) malformed("deflate: codes are missing");
    std::fill_n(table.begin(), size_t{1} << root, UNUSED);
  }

  std::array<uint16_t, SYMBOLS> sorted;
  std::array<uint16_t, LONGEST + 2> place{};
  for (unsigned length = 1; length <= LONGEST; length++) place[length + 1] = place[length] + counts[length];
  const size_t used = place[LONGEST + 1];
  for (size_t symbol = 0; symbol < lengths.size(); symbol++)
    if (lengths[symbol] > 0) sorted[place[lengths[symbol]]++] = static_cast<uint16_t>(symbol);

  auto remaining = counts;
  unsigned code = 0, length = 0;
  size_t next = size_t{1} << root, second = 0;
  unsigned second_bits = 0, prefix = ~0u;
  for (size_t i = 0; i < used; i++) {
    unsigned symbol = sorted[i];
    code <<= lengths[symbol] - length;
    length = lengths[symbol];
    unsigned reversed = reverse(code++, length);
    if (length <= root) {
      uint32_t value = entry(symbol, length);
      for (size_t at = reversed; at < size_t{1} << root; at += size_t{1} << length) table[at] = value;
      continue;
    }
    if ((reversed & ((1u << root) - 1)) != prefix) {
      // As many bits as the codes with this prefix need: they are next to each other, and the shortest comes first.
      prefix = reversed & ((1u << root) - 1);
      second = next;
      second_bits = length - root;
      int room = 1 << second_bits;
      while (root + second_bits < longest && (room -= remaining[root + second_bits]) > 0) {
        second_bits++;
        room *= 2;
      }
      next += size_t{1} << second_bits;
      if (next > table.size()) malformed("deflate: codes need too large a table");
      table[prefix] = static_cast<uint32_t>(second) << 16 | second_bits << 8 | LINK | SPECIAL | root;
    }
    uint32_t value = entry(symbol, length - root);
    for (size_t at = reversed >> root; at < size_t{1} << second_bits; at += size_t{1} << (length - root))
      table[second + at] = value;
    remaining[length]--;
  }
}

}  // namespace

void build_literals(std::span<const uint8_t> lengths, Tables& tables) {
  if (lengths[256] == 0) malformed("deflate: the end of the block has no code");
  build(lengths, LITERAL_BITS, tables.literals, literal_entry, Missing::OneCode);
}

void build_distances(std::span<const uint8_t> lengths, Tables& tables) {
  build(lengths, DISTANCE_BITS, tables.distances, distance_entry, Missing::OneCode);
}

void build_precode(std::span<const uint8_t> lengths, std::array<uint32_t, PRECODE_ENTRIES>& table) {
  build(lengths, PRECODE_BITS, table, precode_entry, Missing::Refused);
}

const Tables& fixed_tables() {
  static const std::unique_ptr<const Tables> tables = [] {
    std::array<uint8_t, 288> literals;
    std::fill_n(literals.begin(), 144, uint8_t{8});
    std::fill_n(literals.begin() + 144, 112, uint8_t{9});
    std::fill_n(literals.begin() + 256, 24, uint8_t{7});
    std::fill_n(literals.begin() + 280, 8, uint8_t{8});
    std::array<uint8_t, 32> distances;
    distances.fill(5);
    auto made = std::make_unique<Tables>();
    build_literals(literals, *made);
    build_distances(distances, *made);
    return made;
  }();
  return *tables;
}

}  // namespace caisson::deflate
