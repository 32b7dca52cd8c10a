#include "core/compress/decode.h"

#include "core/bytes.h"
#include "core/compress/inflate.h"
#include "core/compress/zstd.h"

namespace caisson {

Compression detect(ByteReader& in) {
  in.ensure(4);
  if (in.size() >= 2 && in.at[0] == 0x1f && in.at[1] == 0x8b) return Compression::Gzip;
  if (in.size() < 4) return Compression::None;
  uint32_t magic = load_le32(in.at);
  return magic == ZSTD_MAGIC || (magic & ~15u) == ZSTD_SKIPPABLE_MAGIC ? Compression::Zstd : Compression::None;
}

void decode(Compression compression, ByteReader& in, Output& out) {
  if (compression == Compression::Gzip) {
    decode_gzip(in, out);
  } else if (compression == Compression::Zstd) {
    decode_zstd(in, out);
  } else {
    while (in.more()) {
      out.write(in.at, in.size());
      in.at = in.end;
    }
  }
}

}  // namespace caisson
