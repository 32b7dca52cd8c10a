#include "core/tar/sparse.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "core/fault.h"

namespace caisson::tar {

namespace {

// CVE-2025-58183: maps have no bound of their own.
constexpr size_t EXTENTS_MAX = 64 << 10;

constexpr uint64_t SIZE_MAX_63 = std::numeric_limits<int64_t>::max();

void add(Entry& entry, uint64_t offset, uint64_t size) {
  if (entry.extents.size() == EXTENTS_MAX) over_limit("tar: a sparse file of more than 65536 parts");
  entry.extents.push_back({offset, size});
}

// In order, apart, within the file, and together what is stored.
void check(const Entry& entry) {
  uint64_t end = 0, total = 0;
  for (const Extent& extent : entry.extents) {
    if (extent.offset < end || extent.size > SIZE_MAX_63 - extent.offset) malformed("tar: a sparse map out of order");
    end = extent.offset + extent.size;
    total += extent.size;
  }
  if (end > entry.size) malformed("tar: a sparse map that goes beyond the file");
  if (total != entry.stored) malformed("tar: a sparse map that does not fit the data");
}

// False at the end of the map.
bool add_old(const GnuExtent& extent, Entry& entry) {
  if (extent.offset[0] == '\0' && extent.size[0] == '\0') return false;
  add(entry, natural(extent.offset, "offset"), natural(extent.size, "size"));
  return true;
}

// "COUNT\nOFFSET\nSIZE\n..." in whole blocks.
class MapText {
 public:
  MapText(ByteReader& in, Entry& entry) : in_(in), entry_(entry) {}

  uint64_t line() {
    std::string digits;
    for (char c = byte(); c != '\n'; c = byte()) {
      if (digits.size() > 20) malformed("tar: a bad sparse map");
      digits += c;
    }
    return decimal(digits, "sparse map");
  }

 private:
  char byte() {
    if (at_ == BLOCK) {
      if (entry_.stored < BLOCK) malformed("tar: a sparse map that is longer than its file");
      if (!in_.ensure(BLOCK)) malformed("tar: the archive ends too early");
      std::copy_n(in_.at, BLOCK, block_);
      in_.at += BLOCK;
      entry_.stored -= BLOCK;
      at_ = 0;
    }
    return static_cast<char>(block_[at_++]);
  }

  ByteReader& in_;
  Entry& entry_;
  uint8_t block_[BLOCK];
  size_t at_ = BLOCK;
};

}  // namespace

void read_old_sparse(const GnuHeader& header, ByteReader& in, Entry& entry) {
  entry.sparse = true;
  entry.size = natural(header.real_size, "size");
  bool more = true;
  for (const GnuExtent& extent : header.extents) more = more && add_old(extent, entry);
  for (bool extended = header.extended != 0; extended;) {
    if (!in.ensure(BLOCK)) malformed("tar: the archive ends too early");
    const auto& extension = *reinterpret_cast<const GnuExtension*>(in.at);
    for (const GnuExtent& extent : extension.extents) more = more && add_old(extent, entry);
    extended = extension.extended != 0;
    if (extended && !more) malformed("tar: a sparse map that goes on after its end");
    in.at += BLOCK;
  }
  check(entry);
}

void read_pax_sparse(const Pax& pax, ByteReader& in, Entry& entry) {
  if (!pax.sparse_major && !pax.sparse_size && pax.sparse_map.empty()) return;
  const uint64_t major = pax.sparse_major.value_or(0), minor = pax.sparse_minor.value_or(pax.sparse_major ? 0 : 1);
  if (!pax.sparse_size) malformed("tar: a sparse file without a size");
  entry.sparse = true;
  entry.size = *pax.sparse_size;
  if (major == 1 && minor == 0) {
    MapText text(in, entry);
    for (uint64_t left = text.line(); left > 0; left--) {
      uint64_t offset = text.line();
      add(entry, offset, text.line());
    }
  } else if (major == 0 && minor <= 1) {
    if (pax.sparse_map.size() % 2 != 0) malformed("tar: a sparse map without its last size");
    for (size_t i = 0; i < pax.sparse_map.size(); i += 2) add(entry, pax.sparse_map[i], pax.sparse_map[i + 1]);
    if (pax.sparse_count && *pax.sparse_count != entry.extents.size()) malformed("tar: a sparse map of another length");
  } else {
    refused("tar: a sparse file of an unknown version");
  }
  check(entry);
}

}  // namespace caisson::tar
