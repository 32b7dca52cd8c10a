// gzip and zstd against the libraries of others: what they decode we decode alike, and what we take they take.
// Input: a byte that says which, in pieces of what size, and whether the rest is plain and compressed first.
#include <cstdlib>

#include "test/bytes.h"

using namespace caisson;

namespace {

constexpr size_t MAX = 1 << 20;

// Nothing when it is damaged, or too large.
std::optional<std::string> with_zlib(const std::string& packed) {
  std::string plain;
  std::string rest = packed;
  do {
    z_stream stream = {};
    inflateInit2(&stream, 15 + 16);
    stream.next_in = reinterpret_cast<Bytef*>(rest.data());
    stream.avail_in = static_cast<uInt>(rest.size());
    int status = Z_OK;
    char block[4096];
    while (status == Z_OK && plain.size() < MAX) {
      stream.next_out = reinterpret_cast<Bytef*>(block);
      stream.avail_out = sizeof block;
      status = inflate(&stream, Z_NO_FLUSH);
      plain.append(block, sizeof block - stream.avail_out);
    }
    rest = rest.substr(rest.size() - stream.avail_in);
    inflateEnd(&stream);
    if (status != Z_STREAM_END) return std::nullopt;
  } while (!rest.empty());
  return plain;
}

std::optional<std::string> with_zstd(const std::string& packed) {
  std::string plain;
  ZSTD_DStream* stream = ZSTD_createDStream();
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  size_t status = 0;
  char block[4096];
  while (plain.size() < MAX) {
    ZSTD_outBuffer out = {block, sizeof block, 0};
    status = ZSTD_decompressStream(stream, &out, &in);
    plain.append(block, out.pos);
    // A further call with nothing left would begin another frame and ask for its header.
    if (ZSTD_isError(status) || (in.pos == in.size && (status == 0 || out.pos < out.size))) break;
  }
  ZSTD_freeDStream(stream);
  if (status != 0 || in.pos < in.size) return std::nullopt;
  return plain;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const bool zstd = data[0] & 1, plain = data[0] & 2;
  const size_t piece = 1 + (data[0] >> 2) * 37;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1), found;
  const auto compression = zstd ? Compression::Zstd : Compression::Gzip;
  if (plain) {
    std::string packed = zstd ? test::zstd(bytes, 3) : test::gzip(bytes, 6);
    if (test::decode(compression, packed, piece, found) || found != bytes) abort();
    return 0;
  }
  auto fault = test::decode(compression, bytes, piece, found);
  if (fault || bytes.empty()) return 0;
  auto other = zstd ? with_zstd(bytes) : with_zlib(bytes);
  if (found.size() < MAX && (!other || *other != found)) abort();
  return 0;
}
