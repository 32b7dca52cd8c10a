#include "core/compress/zstd_codes.h"

#include "core/fault.h"

namespace caisson::zstd {

namespace {

struct Code {
  uint32_t base;
  uint8_t extra;
};

// Section 3.1.1.3.2.1.1.
constexpr Code LENGTHS[] = {{0, 0},    {1, 0},    {2, 0},     {3, 0},     {4, 0},     {5, 0},      {6, 0},
                            {7, 0},    {8, 0},    {9, 0},     {10, 0},    {11, 0},    {12, 0},     {13, 0},
                            {14, 0},   {15, 0},   {16, 1},    {18, 1},    {20, 1},    {22, 1},     {24, 2},
                            {28, 2},   {32, 3},   {40, 3},    {48, 4},    {64, 6},    {128, 7},    {256, 8},
                            {512, 9},  {1024, 10}, {2048, 11}, {4096, 12}, {8192, 13}, {16384, 14}, {32768, 15},
                            {65536, 16}};
constexpr Code MATCHES[] = {{3, 0},    {4, 0},    {5, 0},     {6, 0},     {7, 0},     {8, 0},      {9, 0},
                            {10, 0},   {11, 0},   {12, 0},    {13, 0},    {14, 0},    {15, 0},     {16, 0},
                            {17, 0},   {18, 0},   {19, 0},    {20, 0},    {21, 0},    {22, 0},     {23, 0},
                            {24, 0},   {25, 0},   {26, 0},    {27, 0},    {28, 0},    {29, 0},     {30, 0},
                            {31, 0},   {32, 0},   {33, 0},    {34, 0},    {35, 1},    {37, 1},     {39, 1},
                            {41, 1},   {43, 2},   {47, 2},    {51, 3},    {59, 3},    {67, 4},     {83, 4},
                            {99, 5},   {131, 7},  {259, 8},   {515, 9},   {1027, 10}, {2051, 11},  {4099, 12},
                            {8195, 13}, {16387, 14}, {32771, 15}, {65539, 16}};
// A distance is 2^code and as many extra bits. More than 30 would be behind any window.
constexpr unsigned DISTANCES = 31;

// Section 3.1.1.3.2.2.
constexpr int8_t DEFAULT_LENGTHS[] = {4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1,  2,  2,
                                      2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1};
constexpr int8_t DEFAULT_MATCHES[] = {1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1,  1,  1, 1, 1,
                                      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  -1, -1, -1, -1, -1, -1, -1};
constexpr int8_t DEFAULT_DISTANCES[] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1,  1,  1,  1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1};

// One of the three kinds of codes.
struct Alphabet {
  unsigned symbols;
  unsigned log_max;
  std::span<const int8_t> standard;
  unsigned standard_log;
  Code (*code)(unsigned symbol);
};

constexpr Alphabet LENGTH_ALPHABET = {std::size(LENGTHS), 9, DEFAULT_LENGTHS, 6,
                                      [](unsigned symbol) { return LENGTHS[symbol]; }};
constexpr Alphabet MATCH_ALPHABET = {std::size(MATCHES), 9, DEFAULT_MATCHES, 6,
                                     [](unsigned symbol) { return MATCHES[symbol]; }};
constexpr Alphabet DISTANCE_ALPHABET = {DISTANCES, 8, DEFAULT_DISTANCES, 5, [](unsigned symbol) {
                                          return Code{1u << symbol, static_cast<uint8_t>(symbol)};
                                        }};

void build(const Distribution& distribution, const Alphabet& alphabet, SequenceTable& table) {
  std::array<State, 1 << FSE_LOG_MAX> states;
  build_states(distribution, states);
  table.log = distribution.log;
  for (size_t i = 0; i < size_t{1} << distribution.log; i++) {
    Code code = alphabet.code(states[i].symbol);
    table.states[i] = {states[i].next, states[i].bits, code.extra, code.base};
  }
}

// Returns the number of bytes that the description takes.
size_t read_table(unsigned mode, std::span<const uint8_t> data, const Alphabet& alphabet, SequenceTable& table) {
  enum Mode { STANDARD, RUN, COMPRESSED, REPEAT };
  if (mode == REPEAT) {
    if (!table.ready) malformed("zstd: a table to repeat that is not there");
    return 0;
  }
  table.ready = true;
  Distribution distribution;
  if (mode == STANDARD) {
    distribution.log = alphabet.standard_log;
    distribution.symbols = static_cast<unsigned>(alphabet.standard.size());
    for (unsigned i = 0; i < distribution.symbols; i++) distribution.counts[i] = alphabet.standard[i];
    build(distribution, alphabet, table);
    return 0;
  }
  if (mode == RUN) {
    if (data.empty() || data[0] >= alphabet.symbols) malformed("zstd: an unknown code");
    Code code = alphabet.code(data[0]);
    table.states[0] = {0, 0, code.extra, code.base};
    table.log = 0;
    return 1;
  }
  size_t used = read_distribution(data, alphabet.symbols, alphabet.log_max, distribution);
  build(distribution, alphabet, table);
  return used;
}

}  // namespace

SequenceHeader read_sequence_header(std::span<const uint8_t> data, SequenceTable& lengths, SequenceTable& distances,
                                    SequenceTable& matches) {
  auto need = [&](size_t size) {
    if (data.size() < size) malformed("zstd: the sequences end too early");
  };
  need(1);
  size_t at = 1, count = data[0];
  if (count == 0) {
    if (data.size() > 1) malformed("zstd: something follows the last sequence");
    return {0, 1};
  }
  if (count == 255) {
    need(3);
    count = data[1] + (static_cast<size_t>(data[2]) << 8) + 0x7f00;
    at = 3;
  } else if (count >= 128) {
    need(2);
    count = ((count - 128) << 8) + data[1];
    at = 2;
  }
  need(at + 1);
  const uint8_t modes = data[at++];
  if (modes & 3) malformed("zstd: unknown modes");
  at += read_table(modes >> 6, data.subspan(at), LENGTH_ALPHABET, lengths);
  at += read_table(modes >> 4 & 3, data.subspan(at), DISTANCE_ALPHABET, distances);
  at += read_table(modes >> 2 & 3, data.subspan(at), MATCH_ALPHABET, matches);
  return {count, at};
}

}  // namespace caisson::zstd
