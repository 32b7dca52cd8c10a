// Header blocks of tar archives: v7, ustar (POSIX.1-1988) and GNU.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace caisson::tar {

inline constexpr size_t BLOCK = 512;

// All fields are text: names end at a NUL or the end of the field, numbers are octal (or base 256, see number()).
struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2],
      uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};

// GNU has other fields where ustar has the prefix.
struct GnuExtent {
  char offset[12], size[12];
};
struct GnuHeader {
  char before[386];
  GnuExtent extents[4];
  char extended, real_size[12], rest[17];
};
struct GnuExtension {
  GnuExtent extents[21];
  char extended, rest[7];
};

static_assert(sizeof(Header) == BLOCK && sizeof(GnuHeader) == BLOCK && sizeof(GnuExtension) == BLOCK);

bool is_zero(std::span<const uint8_t> block);
// The sum of all bytes with blanks for the checksum; some old programs added signed bytes.
bool checksum_matches(const Header& header);

// A name: up to the first NUL or the end of the field.
template <size_t N>
std::string_view text(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

// Octal digits between blanks, or base 256 when the highest bit is set; an empty field is 0. Throws a Fault that names
// `what` for anything else, and for a number that does not fit.
int64_t number(std::string_view field, const char* what);
// The same for what cannot be negative.
uint64_t natural(std::string_view field, const char* what);

template <size_t N>
int64_t number(const char (&field)[N], const char* what) {
  return number(std::string_view(field, N), what);
}
template <size_t N>
uint64_t natural(const char (&field)[N], const char* what) {
  return natural(std::string_view(field, N), what);
}

enum class Format { V7, Ustar, Gnu };
Format format(const Header& header);

}  // namespace caisson::tar
